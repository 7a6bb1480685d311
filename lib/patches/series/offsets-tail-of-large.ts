// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-tail-of-large',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: page_mapped_in_vma()',
  date: '2026-01-07',
  where: '20260107091823.68974-1 (v2); a reading of the patch that no reviewer is known to share',
  merged: false,
  changes: "page_mapped_in_vma() looks for the number of the folio's first page, whichever page it is asked for.",
  bug: [
    'A huge page of system memory is mapped by ptes, as after a change of the protection of a part of it.',
    "page_mapped_in_vma(), which asks where one page is mapped, is handed a page that is not the folio's first.",
    "It walks the page's address for the number of the folio instead of the page's, and finds that the page is not mapped.",
  ],
  needs: ['device-private-offsets'],
  sets: ['walks_for_first_page'],
} as const satisfies PatchState;
