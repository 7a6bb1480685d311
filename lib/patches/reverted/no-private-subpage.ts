// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-private-subpage',
  kind: 'reverted',
  subject: 'mm/hmm: fix bad subpage pointer in try_to_unmap_one',
  date: '2019',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes:
    'Unmapping a private page looks for its struct page by the pfn that pte_pfn() reads in the device-private entry.',
  bug: [
    'A page is on the device: its pte is a device-private entry.',
    'The device takes it back, and the page is unmapped wherever it is mapped. What pte_pfn() reads in the entry, which is not present, is no pfn, and the struct page that it leads to does not exist.',
  ],
  sets: ['private_subpage_by_pte_pfn'],
} as const satisfies PatchState;
