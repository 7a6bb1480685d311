// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-migrate-to-ram-ret',
  kind: 'reverted',
  subject: 'mm/memory.c: return vm_fault_t from migrate_to_ram()',
  date: '2022',
  where: 'follow-up of 16ce101db85d',
  merged: true,
  changes: 'do_swap_page() drops what migrate_to_ram() answers.',
  bug: [
    'A driver cannot give a private page back: its migrate_to_ram() answers VM_FAULT_SIGBUS.',
    'do_swap_page() drops the answer and says that the fault is done.',
    'The access faults again, for ever; the process never gets its signal.',
  ],
  sets: ['migrate_to_ram_ret_dropped'],
} as const satisfies PatchState;
