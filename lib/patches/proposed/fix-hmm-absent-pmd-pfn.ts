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
  sets: ['hmm_absent_pmd_inside'],
} as const satisfies PatchState;
