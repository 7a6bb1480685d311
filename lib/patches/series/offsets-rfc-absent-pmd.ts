// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-rfc-absent-pmd',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: hmm_vma_handle_absent_pmd() of the RFC',
  date: '2025-11-28',
  where: '20251128044146.80050-1 (RFC)',
  merged: false,
  changes: 'hmm_range_fault() answers the offset of a huge private page without HMM_PFN_DEVICE_PRIVATE.',
  bug: [
    'A huge page is in the memory of a device, which asks hmm_range_fault() about it.',
    'The code for ptes says that the number is an offset; the code for pmds was forgotten.',
    'The driver looks the offset up as a pfn, and finds some page of system memory or none.',
  ],
  needs: ['device-private-offsets'],
  sets: ['hmm_absent_pmd_unmarked'],
} as const satisfies PatchState;
