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
  bug: [
    'A page of system memory is mapped by a process and a child of it; another child has a page of its own at the address.',
    "That child's page goes to a device, to the offset that equals the pfn of the first page.",
    'The first page migrates: the walk over its mappings comes to the child, finds an entry with its number and takes it for its own.',
    'The child gets the other page, and its own is lost.',
  ],
  needs: ['device-private-offsets'],
  excludes: ['offsets-ttu-sync'],
  offsets: { pvmw_flag: 0 },
} as const satisfies PatchState;
