// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-page-cannot-be-migrated

import type { RegressionCase } from '../../harness/regression/case.ts';
import { open_pfn, PFN_MIGRATE, SELECT_DEVICE_PRIVATE, SELECT_SYSTEM, selected } from '../vocabulary/drivers.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'exclusive-range',
  patch: {
    subject: 'mm/rmap: keep mapcount untouched for device-exclusive entries',
    where: 'seed 001, part of the rework of 2025',
  },
  bug: [
    'A page is exclusive to a device when its memory is to go offline (or compaction wants it elsewhere).',
    'The entry does not count as a mapping, so that there is nothing to unmap; but it holds a reference.',
    'Migration finds one reference too many, tries again, and gives up. Offlining would go on so for ever.',
  ],
  with: [],
  fails: { kind: 'assertion', text: 'left 1 behind' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    const pfn = yield* open_pfn(c, x, b.ptr);
    yield* must(c, x, fd, U.HMM_DMIRROR_EXCLUSIVE, b, 1, 'exclusive access');
    // By its address the page does not migrate in any state: what is not present and not private is passed over.
    const found = yield* selected(c, x, b, 1, SELECT_SYSTEM | SELECT_DEVICE_PRIVATE, 0);
    x.check(found === '-', `a migration of addresses selects ${found}`);
    const stayed = yield* c.ioctl(pfn, PFN_MIGRATE, 0);
    x.check(stayed === 0, `migrating an exclusive page left ${stayed} behind`);
    const ret = yield* command(c, fd, U.HMM_DMIRROR_CHECK_EXCLUSIVE, b, 1);
    x.check(ret === 0, `the device was not told that it has lost the page: CHECK_EXCLUSIVE ended with ${ret}`);
    yield* expect_kept(c, x, b);
  },
};

export default regression;
