// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run lazily-freed-page-comes-back-dirty

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const MADV_FREE = 8;
const MADV_PAGEOUT = 21;

const regression: RegressionCase = {
  state: 'no-collect-present-dirty',
  fails: { kind: 'assertion', text: 'the page was freed lazily, not written since, and holds 100' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    x.check((yield* c.madvise(b.ptr, PAGE, MADV_FREE)) === 0, 'MADV_FREE failed');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 1, 'migrating back');
    x.check((yield* c.madvise(b.ptr, PAGE, MADV_PAGEOUT)) === 0, 'MADV_PAGEOUT failed');
    const v = yield* c.load32(b.ptr);
    x.check(v === 0, `the page was freed lazily, not written since, and holds ${v}`);
  },
};

export default regression;
