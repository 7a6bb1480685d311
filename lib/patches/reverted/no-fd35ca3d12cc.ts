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
  bug: [
    'A process gives a page away by MADV_FREE and then writes to it, which takes that back; only its pte knows.',
    'The page migrates to the device and back. The collector takes the dirty pte away and tells the page nothing.',
    'Reclaim finds a clean page that was given away, and drops it with what was written.',
  ],
  sets: ['collect_drops_dirty'],
} as const satisfies PatchState;
