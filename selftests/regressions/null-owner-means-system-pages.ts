// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run null-owner-means-system-pages

import type { RegressionCase } from '../../harness/regression/case.ts';
import { SELECT_DEVICE_PRIVATE, SELECT_SYSTEM, selected } from '../vocabulary/drivers.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'src-owner',
  patch: { subject: 'mm/migrate: add a flags parameter to migrate_vma', where: '5143192cd410' },
  bug: [
    'A caller sets no owner and asks for no kind of page, or for private ones.',
    'src_owner being NULL says that system pages are wanted: they are selected, and so is the zero page.',
  ],
  fails: { kind: 'assertion', text: 'flags 0 with owner NULL selects -s00, not ---0' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 4);
    // Page 0 goes to the device, 1 stays, 2 is the zero page and 3 is not there.
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* c.madvise(b.ptr + 2 * PAGE, 2 * PAGE, U.MADV_DONTNEED);
    yield* c.load32(b.ptr + 2 * PAGE);
    for (const [flags, owner, want] of [
      [0, null, '---0'],
      [SELECT_DEVICE_PRIVATE, null, '---0'],
      [SELECT_DEVICE_PRIVATE, 0, 's--0'],
      [SELECT_SYSTEM, 0, '-s00'],
    ] as const) {
      const found = yield* selected(c, x, b, 4, flags, owner);
      x.check(found === want, `flags ${flags} with owner ${owner ?? 'NULL'} selects ${found}, not ${want}`);
    }
  },
};

export default regression;
