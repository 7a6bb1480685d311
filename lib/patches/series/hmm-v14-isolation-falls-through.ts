// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-isolation-falls-through',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'A page that cannot be isolated is given back, and then tested for pins, and given back again.',
  bug: [
    'Somebody else has taken a page off the LRU, and one more holds a reference on it.',
    'hmm_migrate_lock_and_isolate() cannot isolate it, unlocks it and drops its reference.',
    'It goes on with the test for pins, which fails, and unlocks and drops once more.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_isolation_falls_through'],
} as const satisfies PatchState;
