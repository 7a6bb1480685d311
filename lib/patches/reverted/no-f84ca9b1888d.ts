// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-f84ca9b1888d',
  kind: 'reverted',
  subject: 'mm/page_vma_mapped: fix device-private PMD handling',
  date: '2026',
  where: 'f84ca9b1888d',
  merged: true,
  changes:
    'page_vma_mapped_walk() stops at every device-private pmd, whose it may be, whether mappings or migration entries are wanted, and without a second look once it has the lock.',
  sets: ['walk_stops_at_private_pmd'],
} as const satisfies PatchState;
