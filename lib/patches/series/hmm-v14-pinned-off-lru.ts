// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-pinned-off-lru',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'A pinned page that was isolated is not put back on the LRU.',
  bug: [
    'A page is pinned while its range migrates: it is isolated, found to be pinned, and stays.',
    'Its reference is dropped, but it is not put back on the LRU.',
    'Nobody can isolate it any more: it can be neither migrated nor reclaimed when the pin is long gone.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_pinned_off_lru'],
} as const satisfies PatchState;
