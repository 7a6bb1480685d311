// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-in-a-migration

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'offsets-no-mpfn-flag',
  fails: { kind: 'oops', text: 'folio_get() of a folio without references' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    for (let i = 0; i < 2; i++) x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} came back changed`);
  },
};

export default regression;
