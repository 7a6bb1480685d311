// SPDX-License-Identifier: GPL-2.0-only

import { MAX_SWAPFILES } from '../../mm/leafops.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-no-migration-types',
  kind: 'series',
  subject: 'Remove device private pages from physical address space, without patch 7 of 11',
  date: '2026-01-07',
  where: '20260107091823.68974-1: mm: Add a new swap type for migration entries of device private pages',
  merged: false,
  changes: 'The migration entry of a private page holds an offset and does not say so.',
  bug: [
    'A private page migrates back: its entry becomes a migration entry that holds an offset and does not say so.',
    'When the migration is over, the walk that looks for the entry passes it by, as it is not of a private page.',
    'The entry stays for ever; the CPU that faults on it looks its offset up as a pfn, and finds nobody to wait for.',
  ],
  needs: ['device-private-offsets'],
  excludes: ['offsets-v1-migration-read'],
  offsets: { private_migration: false, max_swapfiles: MAX_SWAPFILES },
} as const satisfies PatchState;
