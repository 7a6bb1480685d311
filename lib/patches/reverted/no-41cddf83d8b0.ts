// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-41cddf83d8b0',
  kind: 'reverted',
  subject: "mm/migrate_device: don't add folio to be freed to LRU in migrate_device_finalize()",
  date: '2025',
  where: '41cddf83d8b0',
  merged: true,
  changes:
    'The end of a migration gives every folio of system memory back through the LRU, the one that is left behind too.',
  bug: [
    "A page has moved to the device; the page of system memory that it was in has nothing but the migration's reference.",
    'The migration gives that up through the LRU, whose batch now holds the page: it is not free before the batch is full, and what handles it there finds a page that belongs to nobody, without a memory cgroup.',
  ],
  sets: ['finalize_puts_back'],
} as const satisfies PatchState;
