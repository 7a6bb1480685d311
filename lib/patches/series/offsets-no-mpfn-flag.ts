// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-no-mpfn-flag',
  kind: 'series',
  subject: 'Remove device private pages from physical address space, without patch 4 of 11',
  date: '2026-01-07',
  where: '20260107091823.68974-1: mm/migrate_device: Add migrate PFN flag to track device private pages',
  merged: false,
  changes: 'The mpfn of a private page holds an offset and does not say so.',
  bug: [
    'A driver offers a private page as the destination of a migration, by an mpfn with its offset that does not say that it is one.',
    "migrate_vma_pages() looks the offset up as a pfn, and moves the page's state to some page of system memory or none.",
  ],
  needs: ['device-private-offsets'],
  offsets: { mpfn_flag: 0 },
} as const satisfies PatchState;
