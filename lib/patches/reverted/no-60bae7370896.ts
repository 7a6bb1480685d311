// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-60bae7370896',
  kind: 'reverted',
  subject: 'mm/migrate_device.c: flush TLB while holding PTL',
  date: '2022',
  where: '60bae7370896',
  merged: true,
  changes: 'migrate_vma_collect_pmd() flushes the TLBs after it has given the page-table lock back.',
  sets: ['collect_flushes_late'],
} as const satisfies PatchState;
