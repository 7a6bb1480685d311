// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-no-snapshot-flag',
  kind: 'series',
  subject: 'Remove device private pages from physical address space, without patch 9 of 11',
  date: '2026-01-07',
  where: '20260107091823.68974-1: mm/util: Add flag to track device private pages in page snapshots',
  merged: false,
  changes: 'A page snapshot holds the offset of a private page and does not say so.',
  bug: [
    'A page is in the memory of a device, at the offset that equals the pfn of the page of zeroes.',
    'Its snapshot holds the number and does not say that it is an offset.',
    'stable_page_flags() says that it is the page of zeroes.',
  ],
  needs: ['device-private-offsets'],
  offsets: { snapshot_flag: 0 },
} as const satisfies PatchState;
