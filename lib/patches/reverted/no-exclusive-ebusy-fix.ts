// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-exclusive-ebusy-fix',
  kind: 'reverted',
  subject: 'mm/rmap: avoid -EBUSY from make_device_exclusive()',
  date: '2025',
  where: 'seed 001, part of the rework of 2025',
  merged: true,
  changes: 'make_device_exclusive() answers -EBUSY for a folio whose lock is taken.',
  bug: [
    'Two devices want exclusive access to one page at the same time.',
    "The first has the folio's lock while it takes the mapping down.",
    'make_device_exclusive() for the second finds the lock taken and answers -EBUSY instead of waiting.',
  ],
  sets: ['exclusive_trylock'],
} as const satisfies PatchState;
