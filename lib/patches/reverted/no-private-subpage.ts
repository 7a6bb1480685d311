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
  sets: ['private_subpage_by_pte_pfn'],
} as const satisfies PatchState;
