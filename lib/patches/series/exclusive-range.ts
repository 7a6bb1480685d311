// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'exclusive-range',
  kind: 'series',
  subject: 'mm: Device exclusive memory access',
  date: '2021-05-24',
  where: 'seed 001, b756a3b5e7ea of Linux 5.15; the rework of 2025 replaced it',
  merged: false,
  changes:
    "make_device_exclusive_range() takes every mapping of each page's folio down through rmap and answers which pages of the range it got; it passes over a folio whose lock is taken. test_hmm asks for 64 pages at a time and answers -EBUSY unless it gets them all.",
  needs: ['no-exclusive-mapcount', 'no-exclusive-hugetlb-check'],
  excludes: ['no-exclusive-ebusy-fix'],
  sets: ['exclusive_range'],
} as const satisfies PatchState;
