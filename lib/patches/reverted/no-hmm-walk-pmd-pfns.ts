// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-hmm-walk-pmd-pfns',
  kind: 'reverted',
  subject: 'mm/hmm: add missing pfns set to hmm_vma_walk_pmd()',
  date: '2020',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'hmm_range_fault() leaves the entries as they were where it passes a pmd that is under migration.',
  bug: [
    'A snapshot goes over small pages, whose entries are filled in, and then, with the same array, over a huge page.',
    'Meanwhile that huge page migrates: its pmd is a migration entry.',
    'hmm_vma_walk_pmd() has nothing to fault in, returns 0 and leaves the array alone: the pages look as the small ones before them did.',
  ],
  sets: ['hmm_migrating_pmd_unset'],
} as const satisfies PatchState;
