// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-63451de16e0a',
  kind: 'reverted',
  subject: 'mm/migrate_device: fix spinlock leak in migrate_vma_insert_huge_pmd_page',
  date: '2026',
  where: '63451de16e0a',
  merged: true,
  changes:
    'migrate_vma_insert_huge_pmd_page() gives up in an address space that is being reaped without giving the pmd lock back.',
  bug: [
    'A process is killed, and its memory is taken before it is gone; its address space is not stable any more.',
    "Another process, which has the mirror's descriptor, lets the device fill a huge place of it that is empty now.",
    'migrate_vma_insert_huge_pmd_page() sees under the pmd lock that it must not, and leaves without giving the lock back.',
  ],
  sets: ['reaped_keeps_pmd_lock'],
} as const satisfies PatchState;
