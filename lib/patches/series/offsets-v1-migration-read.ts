// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-v1-migration-read',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: softleaf_is_migration_read() of v1',
  date: '2025-12-31',
  where: '20251231043154.42931-1 (v1)',
  merged: false,
  changes: 'softleaf_is_migration_read() does not know the readable migration entries of private pages.',
  bug: [
    'A private page is shared by a process and its child after fork(), by entries that neither may write through.',
    'The device is evicted: the entries become readable migration entries of a private page.',
    'softleaf_is_migration_read() does not know that kind: when the page comes back, each mapping takes it for its own.',
  ],
  needs: ['device-private-offsets'],
  sets: ['private_migration_not_read'],
} as const satisfies PatchState;
