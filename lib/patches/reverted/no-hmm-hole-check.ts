// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-hmm-hole-check',
  kind: 'reverted',
  subject: 'mm/hmm: hmm_range_fault() NULL pointer bug',
  date: '2019',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'hmm_range_fault() faults in addresses that no vma covers.',
  bug: [
    'A device asks for a range of addresses where nothing is mapped.',
    'hmm_vma_walk_hole() is called without a vma and asks for a fault all the same.',
    'The fault handler is given the vma NULL.',
  ],
  sets: ['hmm_faults_holes'],
} as const satisfies PatchState;
