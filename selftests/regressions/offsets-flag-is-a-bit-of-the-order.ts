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

import type { RegressionCase } from '../../harness/regression_case.ts';
import * as U from '../hmm-tests/uapi.ts';
import { HUGE_PAGES, OFFSETS, hex, huge_buffer, must, open_device, snapshot } from '../regression_tools.ts';

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
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    const seen = yield* snapshot(c, fd, b, 2);
    const wanted = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE | U.HMM_DMIRROR_PROT_PMD;
    for (let i = 0; i < 2; i++) {
      const byte = typeof seen === 'number' ? seen : seen[i] as number;
      x.check(byte === wanted, `page ${i} of the huge page is ${hex(byte)} in the snapshot of its own device, not ${hex(wanted)}`);
    }
  },
};

export default regression;
