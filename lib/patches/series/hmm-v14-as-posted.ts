// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-as-posted',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, as posted',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'hmm_vma_migrate() and hmm_vma_fault() have every hmm-v14-* defect at once.',
  bug: [
    'The helper has all the defects at once that the other cases hmm-v14-* show one by one.',
    'A program that did not touch all of its pages sees one of them at once: not all pages move.',
  ],
  needs: ['hmm-v14'],
  sets: [
    'v14_block_ignored',
    'v14_cached_is_pinned',
    'v14_counts_twice',
    'v14_faults_without_permission',
    'v14_isolation_falls_through',
    'v14_pinned_not_restored',
    'v14_pinned_off_lru',
    'v14_remaps_what_failed',
    'v14_skipped_looks_migrated',
    'v14_skips_empty',
    'v14_skips_huge',
    'v14_vma_checked_late',
  ],
} as const satisfies PatchState;
