// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-page-hides-from-reclaim

import type { RegressionCase } from '../../harness/regression/case.ts';
import { open_pfn, PFN_LOOK, RECLAIMABLE } from '../vocabulary/drivers.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'exclusive-range',
  patch: {
    subject: 'mm/rmap: keep mapcount untouched for device-exclusive entries',
    where: 'seed 001, part of the rework of 2025',
  },
  bug: [
    'Reclaim comes across a page that is exclusive to a device: it is on an LRU list like any other.',
    'The entry does not count as a mapping: reclaim calls try_to_unmap() for mapped folios only.',
    'The page has a reference that nobody takes away. It goes back to the list, again and again, and cannot be swapped out.',
  ],
  with: [],
  fails: { kind: 'assertion', text: 'reclaim sees 6 of an exclusive page' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    const pfn = yield* open_pfn(c, x, b.ptr);
    const before = yield* c.ioctl(pfn, PFN_LOOK, 0);
    x.check(before === RECLAIMABLE, `reclaim sees ${before} of a page that is not exclusive`);
    yield* must(c, x, fd, U.HMM_DMIRROR_EXCLUSIVE, b, 1, 'exclusive access');
    const seen = yield* c.ioctl(pfn, PFN_LOOK, 0);
    x.check(
      seen === RECLAIMABLE,
      `reclaim sees ${seen} of an exclusive page, not ${RECLAIMABLE}: mapped (1), found by rmap (2), on an LRU list (4)`,
    );
  },
};

export default regression;
