// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-16ce101db85d',
  kind: 'reverted',
  subject: 'mm/memory.c: fix race when faulting a device private page',
  date: '2022',
  where: '16ce101db85d',
  merged: true,
  changes:
    'do_swap_page() calls migrate_to_ram() with neither a reference on the private page nor a second look at the pte, and migrate_vma has no fault_page.',
  excludes: ['no-migrate-to-ram-ret'],
} as const satisfies PatchState;
