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
  needs: ['device-private-offsets'],
  sets: ['walks_for_first_page'],
} as const satisfies PatchState;
