// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-pinned-not-restored',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes:
    'Pages that turn out to be pinned once they are unmapped keep their migration entries and their lock if nothing else migrates: the loop that restores them starts where the one before it ended.',
  bug: [
    'A page passes the test for pins; then, before it is unmapped, somebody takes a reference on it.',
    'The second test finds that, and no page of the range is left to migrate.',
    'The loop that should restore the page starts where the one before it ended: at the end of the range.',
    'hmm_vma_migrate() answers 0. The page is locked for ever, and who touches it sleeps for ever.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_pinned_not_restored'],
} as const satisfies PatchState;
