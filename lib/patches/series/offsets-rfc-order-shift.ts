// SPDX-License-Identifier: GPL-2.0-only

import { HMM_PFN_ORDER_TOP } from '../../mm/device_private.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-rfc-order-shift',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: HMM_PFN_ORDER_SHIFT of the RFC',
  date: '2025-11-28',
  where: '20251128044146.80050-1 (RFC)',
  merged: false,
  changes: 'HMM_PFN_DEVICE_PRIVATE is the same bit of an hmm_pfn as the highest of the order.',
  bug: [
    'The new flag of an hmm_pfn takes the bit below the other flags, which is the highest of the five of the order.',
    'A huge page is in the memory of a device, which asks hmm_range_fault() about it.',
    'The order that the driver reads is 25 instead of 9, and the page does not look as if it were mapped by a pmd.',
  ],
  needs: ['device-private-offsets'],
  excludes: ['offsets-no-hmm-flag'],
  offsets: { hmm_flag: HMM_PFN_ORDER_TOP, hmm_order_shift: 53 },
} as const satisfies PatchState;
