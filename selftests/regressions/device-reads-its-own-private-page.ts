// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run device-reads-its-own-private-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-dmirror-backing-page',
  fails: { kind: 'oops', text: 'page fault' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const second = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    yield* must(c, x, second, U.HMM_DMIRROR_READ, b, 2, 'reading by the same device');
    x.check((yield* mirrored(c, b, 1)) === word(1), 'the device read something else');
    yield* c.store32(b.mirror, 77);
    yield* must(c, x, second, U.HMM_DMIRROR_WRITE, b, 1, 'writing by the same device');
    x.check((yield* c.load32(b.ptr)) === 77, 'what the device wrote is lost');
  },
};

export default regression;
