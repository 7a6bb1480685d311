// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-hmm-write-check',
  kind: 'reverted',
  subject: 'mm/hmm: hmm_range_fault() infinite loop',
  date: '2019',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'hmm_range_fault() does not look for VM_WRITE before it faults for writing.',
  bug: [
    'A device asks for a page of a read-only mapping, to be written.',
    'hmm_range_fault() calls handle_mm_fault() with FAULT_FLAG_WRITE; that gives the process a page of its own, but no write permission.',
    'The walk finds the page not writable and faults again, for ever and with the mmap_lock held.',
  ],
  sets: ['hmm_ignores_vm_write'],
} as const satisfies PatchState;
