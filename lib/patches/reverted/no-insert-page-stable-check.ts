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
  sets: ['insert_ignores_reaping'],
} as const satisfies PatchState;
