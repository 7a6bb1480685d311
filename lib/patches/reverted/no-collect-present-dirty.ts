// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-collect-present-dirty',
  kind: 'reverted',
  subject: 'mm/migrate_device: look for the dirty bit in present ptes only',
  date: '2025',
  where: 'Linux 7.3.4, mm/migrate_device.c: migrate_vma_collect_pmd()',
  merged: true,
  changes:
    'migrate_vma_collect_pmd() applies pte_dirty() to device-private entries too. On x86-64 that tests bit 58, which in a non-present entry is one of its inverted offset and set for every pfn that there is.',
  bug: [
    'A page that the process has freed lazily by MADV_FREE is clean. It migrates to a device and comes back.',
    'Its pte is a device-private entry then; pte_dirty() takes a bit of the inverted offset for the dirty bit, and the folio is marked dirty.',
    'Reclaim keeps the page as one that was written since, instead of dropping it.',
  ],
  sets: ['collect_dirties_leaves'],
} as const satisfies PatchState;
