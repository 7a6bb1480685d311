// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-ttu-sync',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: TTU_SYNC',
  date: '2026-01-23',
  where: 'patch 5 of Message-Id 20260107091823.68974-1',
  merged: false,
  changes: 'try_to_unmap_one() and try_to_migrate_one() with TTU_SYNC forget that the walk is for offsets.',
  bug: [
    'A large private folio is mapped by ptes; a CPU fault on one of them has it split, which unmaps it with TTU_SYNC.',
    'For TTU_SYNC try_to_migrate_one() assigns the flags of its walk anew, and with them goes that the walk is for offsets.',
    "None of the folio's mappings is found, so it cannot be split; the fault comes again, for ever.",
  ],
  needs: ['device-private-offsets'],
  excludes: ['offsets-no-pvmw-flag'],
  sets: ['ttu_sync_forgets_offsets'],
} as const satisfies PatchState;
