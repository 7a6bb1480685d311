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
  bug: [
    'A page is unmapped and copied to the device; meanwhile somebody has taken a reference on it.',
    'hmm_migrate_struct_page() cannot move it and takes HMM_PFN_MIGRATE off its entry.',
    'The last loop does not ask for that and looks for the migration entries through the destination, which no rmap leads anywhere: they stay.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_remaps_what_failed'],
} as const satisfies PatchState;
