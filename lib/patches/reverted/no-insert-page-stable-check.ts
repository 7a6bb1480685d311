// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-insert-page-stable-check',
  kind: 'reverted',
  subject: 'mm/migrate: add stable check in migrate_vma_insert_page()',
  date: '2020',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'migrate_vma_insert_page() does not ask whether the address space is being reaped.',
  bug: [
    'A process is killed, and its memory is taken before it is gone; its address space is not stable any more.',
    "Another process, which has the mirror's descriptor, migrates a page of it. The page is not there any more.",
    'migrate_vma_insert_page() fills the place with a page of zeroes, and the device reads them where there was data.',
  ],
  sets: ['insert_ignores_reaping'],
} as const satisfies PatchState;
