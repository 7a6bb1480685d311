// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-skips-huge',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'Mappings of huge pages are split, but their pages are not migrated.',
  bug: [
    'A huge page is mapped by a pmd, which hmm_collect_walk_pmd() splits.',
    'The pages are still those of one compound page, and it passes over each of them.',
    'Nothing migrates, and the huge mapping is gone.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_skips_huge'],
} as const satisfies PatchState;
