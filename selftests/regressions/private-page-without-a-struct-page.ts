// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: fix bad subpage pointer in try_to_unmap_one
// Upstream: merged in 2019 (no commit id at hand)
//
// Bug:
//  1. A page is on the device: its pte is a device-private entry.
//  2. The device takes it back, and the page is unmapped wherever it is mapped. What pte_pfn() reads in the entry, which
//     is not present, is no pfn, and the struct page that it leads to does not exist.
//
// Running: npm run -s regression -- run private-page-without-a-struct-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { close_device_of_a_page } from './free-device-page-can-be-taken.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: fix bad subpage pointer in try_to_unmap_one',
  upstream: 'merged in 2019 (no commit id at hand)',
  bug: [
    'A page is on the device: its pte is a device-private entry.',
    'The device takes it back, and the page is unmapped wherever it is mapped. What pte_pfn() reads in the entry, which is not present, is no pfn, and the struct page that it leads to does not exist.',
  ],
  without: ['no-private-subpage'],
  with: [],
  fails: { kind: 'oops', text: 'unable to handle page fault for address: ffffea' },
  run: close_device_of_a_page,
};

export default regression;
