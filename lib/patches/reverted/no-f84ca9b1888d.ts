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
  bug: [
    'A process shares a huge page with one child; at the same address another child has a page of its own on the device.',
    'The process migrates its page, for which try_to_migrate() goes over all three.',
    'page_vma_mapped_walk() stops at the device-private pmd without a look at whose pfn it holds: it becomes a migration entry of a page that nobody migrates, and whoever touches it waits for ever.',
  ],
  sets: ['walk_stops_at_private_pmd'],
} as const satisfies PatchState;
