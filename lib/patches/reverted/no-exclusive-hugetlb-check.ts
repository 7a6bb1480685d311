// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-exclusive-hugetlb-check',
  kind: 'reverted',
  subject: 'mm/gup: reject FOLL_SPLIT_PMD with hugetlb VMAs',
  date: '2025',
  where: 'CVE-2025-22034',
  merged: true,
  changes:
    'FOLL_SPLIT_PMD splits the pmd of a hugetlb mapping as if it were a transparent huge page, and make_device_exclusive() takes hugetlb folios.',
  sets: ['exclusive_takes_hugetlb'],
} as const satisfies PatchState;
