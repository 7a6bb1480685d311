// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-skipped-looks-migrated',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'A page without a destination keeps HMM_PFN_MIGRATE, which tells the driver that it has migrated.',
  bug: [
    'The device has lost the contents of a page. Its driver says so in alloc_and_copy(), with HMM_PFN_ERROR as the destination.',
    'hmm_migrate_struct_page() passes over the entry, with HMM_PFN_MIGRATE left in it.',
    'finalize_and_map() is told that the page has come back.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_skipped_looks_migrated'],
} as const satisfies PatchState;
