// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: dmirror_devmem_folio_split()
// Upstream: patch 11 of Message-Id 20260107091823.68974-1
//
// Bug:
//  1. A large private folio is split, and the driver gives each tail its share of the memory behind it, by the tail's
//     place in the folio.
//  2. The place is the difference of two offsets, and the offset of a page is found through its pagemap.
//  3. The word of the tail that names the pagemap held its compound head until now, and is set afterwards only.
//
// Running: npm run -s regression -- run offsets-of-a-tail-without-a-pagemap

import type { RegressionCase } from '../../harness/regression/case.ts';
import { OFFSETS } from '../vocabulary/offsets.ts';
import { read_page_of_large_folio } from './offsets-forgotten-by-a-split.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: dmirror_devmem_folio_split()',
  upstream: 'patch 11 of Message-Id 20260107091823.68974-1',
  bug: [
    "A large private folio is split, and the driver gives each tail its share of the memory behind it, by the tail's place in the folio.",
    'The place is the difference of two offsets, and the offset of a page is found through its pagemap.',
    'The word of the tail that names the pagemap held its compound head until now, and is set afterwards only.',
  ],
  without: [...OFFSETS, 'offsets-split-tail'],
  with: OFFSETS,
  fails: { kind: 'oops', text: 'NULL pointer' },
  run: read_page_of_large_folio,
};

export default regression;
