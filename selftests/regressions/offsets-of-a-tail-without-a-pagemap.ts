// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: dmirror_devmem_folio_split()
// Upstream: reference/series.md, 000, patch 11
//
// Bug:
//  1. A large private folio is split, and the driver gives each tail its share of the memory behind it, by the tail's
//     place in the folio.
//  2. The place is the difference of two offsets, and the offset of a page is found through its pagemap.
//  3. The word of the tail that names the pagemap held its compound head until now, and is set afterwards only.
//
// Running: npm run -s regression -- run offsets-of-a-tail-without-a-pagemap

import type { RegressionCase } from '../../harness/regression_case.ts';
import * as U from '../hmm-tests/uapi.ts';
import { HUGE_PAGES, OFFSETS, PAGE, huge_buffer, must, open_device, word } from '../regression_tools.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: dmirror_devmem_folio_split()',
  upstream: 'reference/series.md, 000, patch 11',
  bug: [
    'A large private folio is split, and the driver gives each tail its share of the memory behind it, by the tail\'s place in the folio.',
    'The place is the difference of two offsets, and the offset of a page is found through its pagemap.',
    'The word of the tail that names the pagemap held its compound head until now, and is set afterwards only.',
  ],
  without: [...OFFSETS, 'offsets-split-tail'],
  with: OFFSETS,
  fails: { kind: 'oops', text: 'NULL pointer' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    // Another protection for a part of it leaves ptes of one large folio.
    yield* c.mprotect(b.ptr, 16 * PAGE, U.PROT_READ);
    let seen = -1;
    yield* x.together([{ name: 'read the page', kind: 'thread', run: function* (t) { seen = yield* t.load32(b.ptr + 5 * PAGE); } }]);
    x.check(seen === word(5), `page 5 holds ${seen} instead of ${word(5)}`);
    for (let i = 0; i < HUGE_PAGES; i += 37) x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} came back changed`);
  },
};

export default regression;
