// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-block-ignored',
  kind: 'series',
  subject: '[HMM v14 10/16] mm/hmm/mirror: device page fault handler, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-11-git-send-email-jglisse@redhat.com',
  merged: false,
  changes: 'hmm_vma_fault() lets the mmap_lock be given up even if it is told not to.',
  bug: [
    'A page is mapped for the exclusive access of another device, and a CPU that touches it has its lock.',
    'A driver that must keep the mmap_lock faults the page in with block set. hmm_vma_do_fault() puts FAULT_FLAG_ALLOW_RETRY into its flags whatever block says.',
    'As the page is locked, do_swap_page() gives the mmap_lock up and asks for another try.',
    'The driver gives back a lock that it does not have.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_block_ignored'],
} as const satisfies PatchState;
