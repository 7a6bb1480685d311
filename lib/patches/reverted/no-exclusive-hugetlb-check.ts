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
  bug: [
    'A device wants exclusive access to a page of a hugetlb mapping.',
    'GUP is told to split the pmd and does so, as if it were one of a transparent huge page.',
    'The mapping of the hugetlb folio is taken away by the rules of another kind of folio, and a page table put in its place, which hugetlb takes for a mapping: GUP finds no page, the fault handler nothing to do, and so on for ever.',
  ],
  sets: ['exclusive_takes_hugetlb'],
} as const satisfies PatchState;
