// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-collect-coherent-pmd',
  kind: 'proposed',
  subject: 'mm/migrate_device: select coherent huge pages as coherent',
  date: '2026',
  where: 'recorded results of migrate_multiple and warnings in dmirror_migrate_alloc_and_copy()',
  merged: false,
  changes:
    "migrate_vma_collect_huge_pmd() takes a huge page of coherent device memory for a migration of its owner's coherent pages, and no longer for one of system pages.",
  bug: [
    'A coherent device has huge pages to give; a huge page migrates there and is mapped by a present pmd.',
    'It is to come back: migrate_vma_collect_huge_pmd() takes every present pmd for one of system memory, which was not asked for.',
    'The page is passed over, and stays.',
  ],
  sets: ['selects_coherent_pmd'],
} as const satisfies PatchState;
