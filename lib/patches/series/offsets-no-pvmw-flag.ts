// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-no-pvmw-flag',
  kind: 'series',
  subject: 'Remove device private pages from physical address space, without patch 5 of 11',
  date: '2026-01-07',
  where:
    '20260107091823.68974-1: mm/page_vma_mapped: Add flags to page_vma_mapped_walk::pfn to track device private pages',
  merged: false,
  changes: 'A walk over mappings compares numbers without asking which of them are offsets.',
  needs: ['device-private-offsets'],
  excludes: ['offsets-ttu-sync'],
  offsets: { pvmw_flag: 0 },
} as const satisfies PatchState;
