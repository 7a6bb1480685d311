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
  sets: ['exclusive_is_no_mapping'],
} as const satisfies PatchState;
