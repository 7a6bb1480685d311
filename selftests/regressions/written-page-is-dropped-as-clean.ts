// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run written-page-is-dropped-as-clean

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const MADV_FREE = 8;
const MADV_PAGEOUT = 21;
const WRITTEN = 7;

const regression: RegressionCase = {
  state: 'no-fd35ca3d12cc',
  fails: { kind: 'assertion', text: 'the page holds 0, it was written 7' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    x.check((yield* c.madvise(b.ptr, PAGE, MADV_FREE)) === 0, 'MADV_FREE failed');
    yield* c.store32(b.ptr, WRITTEN);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 1, 'migrating back');
    x.check((yield* c.madvise(b.ptr, PAGE, MADV_PAGEOUT)) === 0, 'MADV_PAGEOUT failed');
    const v = yield* c.load32(b.ptr);
    x.check(v === WRITTEN, `the page holds ${v}, it was written ${WRITTEN}`);
  },
};

export default regression;
