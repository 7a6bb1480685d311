// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run private-pages-lose-their-protection

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { uffd_protect, uffd_protected } from '../vocabulary/userfaultfd.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-ad7df764b7e1',
  fails: { kind: 'assertion', text: 'of 4 pages are protected: --ww' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 4);
    yield* uffd_protect(c, x, b, 4);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 4, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 4, 'migrating back');
    const found = yield* uffd_protected(c, b, 4);
    x.check(found === 'wwww', `of 4 pages are protected: ${found}`);
  },
};

export default regression;
