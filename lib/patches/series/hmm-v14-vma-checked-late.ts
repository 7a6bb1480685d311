// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-vma-checked-late',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes: 'Whether the vma is one of hugetlb pages is asked before whether there is a vma.',
  bug: [
    'A driver hands hmm_vma_migrate() the vma that it found at an address, which is none.',
    'is_vm_hugetlb_page() looks into it before anybody asks whether it is there.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_vma_checked_late'],
} as const satisfies PatchState;
