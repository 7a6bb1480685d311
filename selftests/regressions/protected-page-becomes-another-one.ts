// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/migrate: fixup setting UFFD_WP flag
// Upstream: ebdf8321eeeb
//
// Bug:
//  1. Pages that a userfaultfd keeps write-protected migrate to the device.
//  2. remove_migration_pte() marks their device-private entries by the bit that present ptes have for it. In a leaf this
//     is bit 1 of the inverted offset, so the entry names the page two pfns below.
//  3. Two addresses have one page, with one reference.
//
// Running: npm run -s regression -- run protected-page-becomes-another-one

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { uffd_protect } from '../vocabulary/userfaultfd.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/migrate: fixup setting UFFD_WP flag',
  upstream: 'ebdf8321eeeb',
  bug: [
    'Pages that a userfaultfd keeps write-protected migrate to the device.',
    'remove_migration_pte() marks their device-private entries by the bit that present ptes have for it. In a leaf this is bit 1 of the inverted offset, so the entry names the page two pfns below.',
    'Two addresses have one page, with one reference.',
  ],
  without: ['no-ebdf8321eeeb'],
  with: [],
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
