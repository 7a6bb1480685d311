// SPDX-License-Identifier: GPL-2.0-only

import { by_offset } from '../../mm/device_private.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'device-private-offsets',
  kind: 'series',
  subject: 'Remove device private pages from physical address space',
  date: '2026-01-07',
  where: 'seed 000, 20260107091823.68974-1, as corrected up to 20260202113642.59295-1 (v6)',
  merged: false,
  changes:
    'Device-private pages have no pfns but offsets in a space of their own, from 0 on; entries, mpfns, hmm_pfns and rmap walks say which of the two a number is, and three swap types less are left for swap devices.',
  seams: { device_private_numbers: (m, layout) => new by_offset(m, layout) },
} as const satisfies PatchState;
