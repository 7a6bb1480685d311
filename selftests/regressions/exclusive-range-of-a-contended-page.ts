// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/rmap: avoid -EBUSY from make_device_exclusive()
// Upstream: seed 001, part of the rework of 2025
//
// Bug:
//  1. Two devices want exclusive access to one page at the same time.
//  2. The first has the lock of the folio while it takes the mappings down.
//  3. make_device_exclusive_range() for the second finds the lock taken, leaves a hole where the page would be, and the
//     request ends with -EBUSY.
//
// Running: npm run -s regression -- run exclusive-range-of-a-contended-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { two_devices_take_a_page } from './exclusive-access-to-a-contended-page.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/rmap: avoid -EBUSY from make_device_exclusive()',
  upstream: 'seed 001, part of the rework of 2025',
  bug: [
    'Two devices want exclusive access to one page at the same time.',
    'The first has the lock of the folio while it takes the mappings down.',
    'make_device_exclusive_range() for the second finds the lock taken, leaves a hole where the page would be, and the request ends with -EBUSY.',
  ],
  without: ['exclusive-range', 'no-exclusive-mapcount', 'no-exclusive-hugetlb-check'],
  with: [],
  fails: { kind: 'assertion', text: 'ended with -16' },
  schedule: 'hmm1:1:22.1>2',
  run: two_devices_take_a_page,
};

export default regression;
