// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-cached-is-pinned',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'The reference of the page cache counts as a pin, so that pages of files never migrate.',
  bug: [
    'A page of a shared mapping is to move to another page of system memory.',
    'The page cache holds a reference on it, which hmm_migrate_page_check() takes for a pin.',
    'No page of a file ever migrates.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_cached_is_pinned'],
} as const satisfies PatchState;
