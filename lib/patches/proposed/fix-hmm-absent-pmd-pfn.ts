// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-hmm-absent-pmd-pfn',
  kind: 'proposed',
  subject: 'mm/hmm: start inside of a device-private pmd',
  date: '2026',
  where: 'found with the model, by a case',
  merged: false,
  changes:
    'hmm_vma_handle_absent_pmd() adds the offset of the walk inside of the huge page to the pfn, as hmm_vma_handle_pmd() does.',
  bug: [
    "A huge page is in the device's private memory, and a second mirror of the device reads it, 32 pages at a time.",
    'From the second time on the walk starts inside of the huge page.',
    "hmm_vma_handle_absent_pmd() counts from the pfn of the pmd's entry all the same: the driver is given the first 32 pages again and again.",
  ],
  sets: ['hmm_absent_pmd_inside'],
} as const satisfies PatchState;
