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
  needs: ['device-private-offsets'],
  excludes: ['offsets-no-hmm-flag'],
  offsets: { hmm_flag: HMM_PFN_ORDER_TOP, hmm_order_shift: 53 },
} as const satisfies PatchState;
