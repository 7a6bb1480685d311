// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-counts-twice',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes:
    'The last loop stops once it has seen as many pages as migrate, those that were found to be pinned among them, and leaves the rest locked and unmapped.',
  bug: [
    'Of two pages the first is pinned between the first test for pins and the second. It stays in the arrays, as nothing restores it, but npages counts one less.',
    'The last loop takes one off for each page that it gives back, the pinned one included, and stops at 0.',
    'The second page stays locked and unmapped.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_counts_twice'],
} as const satisfies PatchState;
