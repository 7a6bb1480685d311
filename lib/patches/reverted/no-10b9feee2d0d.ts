// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-10b9feee2d0d',
  kind: 'reverted',
  subject: 'mm/hmm: populate PFNs from PMD swap entry',
  date: '2025',
  where: '10b9feee2d0d',
  merged: true,
  changes: "hmm_range_fault() takes a device-private pmd for an error, even the caller's own.",
  bug: [
    'A huge page goes to the device as a whole; its pmd holds a device-private entry.',
    'The device takes a snapshot of its own page tables.',
    'hmm_vma_walk_pmd() takes the pmd, which is neither none nor present, for an error, for all 512 pages.',
  ],
  sets: ['hmm_absent_pmd_is_error'],
} as const satisfies PatchState;
