// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run non-owner-device-private

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-8a295dbbaf72',
  fails: { kind: 'assertion', text: 'ended with -14' },
  *run(c, x) {
    const one = yield* open_device(c, x, 0);
    const two = yield* open_device(c, x, 1);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, one, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to device 0');
    yield* must(c, x, two, U.HMM_DMIRROR_READ, b, 2, 'reading by device 1');
    x.check((yield* mirrored(c, b, 1)) === word(1), 'device 1 read something else');
  },
};

export default regression;
