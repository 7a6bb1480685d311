// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: HMM_PFN_ORDER_SHIFT of the RFC
// Upstream: 20251128044146.80050-1 (RFC), as told by v1
//
// Bug:
//  1. The new flag of an hmm_pfn takes the bit below the other flags, which is the highest of the five of the order.
//  2. A huge page is in the memory of a device, which asks hmm_range_fault() about it.
//  3. The order that the driver reads is 25 instead of 9, and the page does not look as if it were mapped by a pmd.
//
// Running: npm run -s regression -- run offsets-flag-is-a-bit-of-the-order

import type { RegressionCase } from '../../harness/regression/case.ts';
import { OFFSETS } from '../vocabulary/offsets.ts';
import { expect_huge_page_in_snapshot } from './offsets-in-a-huge-device-page-table.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: HMM_PFN_ORDER_SHIFT of the RFC',
  upstream: '20251128044146.80050-1 (RFC), as told by v1',
  bug: [
    'The new flag of an hmm_pfn takes the bit below the other flags, which is the highest of the five of the order.',
    'A huge page is in the memory of a device, which asks hmm_range_fault() about it.',
    'The order that the driver reads is 25 instead of 9, and the page does not look as if it were mapped by a pmd.',
  ],
  without: [...OFFSETS, 'offsets-rfc-order-shift'],
  with: OFFSETS,
  fails: { kind: 'assertion', text: 'of the huge page is' },
  run: expect_huge_page_in_snapshot,
};

export default regression;
