// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-remaps-what-failed',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'A page that could not be moved is given to its destination all the same: HMM_PFN_MIGRATE is not asked for.',
  needs: ['hmm-v14'],
  sets: ['v14_remaps_what_failed'],
} as const satisfies PatchState;
