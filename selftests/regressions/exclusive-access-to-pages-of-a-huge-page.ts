// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-access-to-pages-of-a-huge-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'exclusive-range',
  patch: {
    subject: 'mm/rmap: implement make_device_exclusive() using folio_walk instead of rmap walk',
    where: 'seed 001, part of the rework of 2025',
  },
  bug: [
    'A device wants exclusive access to two pages of a huge page.',
    'For the first of them every mapping of the folio is taken down, and its lock stays with the caller.',
    'The second is of the same folio, whose lock is taken, by the caller: it is passed over, and the request ends with -EBUSY, every time.',
  ],
  with: [],
  fails: { kind: 'assertion', text: 'ended with -16' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_EXCLUSIVE, b, 2, 'exclusive access to two pages of a huge page');
    yield* expect_kept(c, x, b, [0, 1]);
  },
};

export default regression;
