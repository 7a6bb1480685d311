// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run protected-page-becomes-another-one

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { uffd_protect } from '../vocabulary/userfaultfd.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-ebdf8321eeeb',
  fails: { kind: 'oops', text: 'put_page_testzero() without references' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 4);
    yield* uffd_protect(c, x, b, 4);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 4, 'migrating to the device');
    yield* c.munmap(b.ptr, 4 * PAGE);
  },
};

export default regression;
