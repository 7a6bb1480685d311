// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-exclusive-mapcount',
  kind: 'reverted',
  subject: 'mm/rmap: keep mapcount untouched for device-exclusive entries',
  date: '2025',
  where: 'seed 001, part of the rework of 2025',
  merged: true,
  changes: 'A device-exclusive entry holds a reference but does not count as a mapping.',
  bug: [
    'A device has one page of a huge page for exclusive access; its entry holds a reference but does not count as a mapping.',
    'The rest of the huge page is to migrate, for which the folio must be split.',
    'Splitting adds up references and mappings, finds one reference too many and gives up: not one page moves, nor could reclaim or compaction move them.',
  ],
  sets: ['exclusive_is_no_mapping'],
} as const satisfies PatchState;
