// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-skips-empty',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'Addresses where nothing is mapped cannot be migrated.',
  bug: [
    'A program has a large mapping that it has not touched, and wants the device to work on it.',
    'hmm_collect_walk_pmd() leaves out what is not mapped, so that the CPU must touch every page first.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_skips_empty'],
} as const satisfies PatchState;
