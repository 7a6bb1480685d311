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
  sets: ['hmm_ignores_vm_write'],
} as const satisfies PatchState;
