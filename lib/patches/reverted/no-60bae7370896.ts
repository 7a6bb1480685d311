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
  bug: [
    "Migration puts a migration entry in a pte's place and gives the page-table lock back; the TLBs still hold the page.",
    'Another thread frees the range by madvise(MADV_DONTNEED), which finds nothing present and so flushes nothing.',
    'madvise() has returned, and the thread still reads what it threw away; only then does the migration flush.',
  ],
  sets: ['collect_flushes_late'],
} as const satisfies PatchState;
