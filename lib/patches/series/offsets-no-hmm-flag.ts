// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-no-hmm-flag',
  kind: 'series',
  subject: 'Remove device private pages from physical address space, without patch 10 of 11',
  date: '2026-01-07',
  where: '20260107091823.68974-1: mm/hmm: Add flag to track device private pages',
  merged: false,
  changes: 'The hmm_pfn of a private page holds an offset and does not say so.',
  bug: [
    'A page is in the memory of a device, which asks hmm_range_fault() about it.',
    "The answer is the page's offset and does not say that it is one.",
    'The driver looks the offset up as a pfn, and finds some page of system memory or none.',
  ],
  needs: ['device-private-offsets'],
  excludes: ['offsets-rfc-order-shift'],
  offsets: { hmm_flag: 0, hmm_order_shift: 53 },
} as const satisfies PatchState;
