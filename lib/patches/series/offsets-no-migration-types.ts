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
  needs: ['device-private-offsets'],
  excludes: ['offsets-v1-migration-read'],
  offsets: { private_migration: false, max_swapfiles: MAX_SWAPFILES },
} as const satisfies PatchState;
