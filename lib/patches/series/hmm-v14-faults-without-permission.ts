// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14-faults-without-permission',
  kind: 'series',
  subject: '[HMM v14 10/16] mm/hmm/mirror: device page fault handler, a defect of it',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-11-git-send-email-jglisse@redhat.com',
  merged: false,
  changes: 'hmm_vma_fault() does not look whether the vma can be read or written before it faults.',
  bug: [
    'A device wants to write to a page of a read-only mapping.',
    'hmm_vma_fault() has it faulted in for writing; what the process gets is not writable.',
    'It finds that, and faults again, for ever and with the mmap_lock held.',
  ],
  needs: ['hmm-v14'],
  sets: ['v14_faults_without_permission'],
} as const satisfies PatchState;
