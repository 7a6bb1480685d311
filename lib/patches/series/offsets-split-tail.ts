// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-split-tail',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: dmirror_devmem_folio_split()',
  date: '2026-01-07',
  where: 'patch 11 of Message-Id 20260107091823.68974-1',
  merged: false,
  changes: 'dmirror_devmem_folio_split() asks for the offset of a tail before it has told the tail whose it is.',
  bug: [
    "A large private folio is split, and the driver gives each tail its share of the memory behind it, by the tail's place in the folio.",
    'The place is the difference of two offsets, and the offset of a page is found through its pagemap.',
    'The word of the tail that names the pagemap held its compound head until now, and is set afterwards only.',
  ],
  needs: ['device-private-offsets'],
  sets: ['split_tail_without_pgmap'],
} as const satisfies PatchState;
