// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-fd35ca3d12cc',
  kind: 'reverted',
  subject: 'mm/migrate_device.c: copy pte dirty bit to page',
  date: '2022',
  where: 'fd35ca3d12cc',
  merged: true,
  changes: 'migrate_vma_collect_pmd() does not mark the page dirty when it takes a dirty pte away.',
  sets: ['collect_drops_dirty'],
} as const satisfies PatchState;
