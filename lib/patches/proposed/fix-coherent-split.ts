// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-coherent-split',
  kind: 'proposed',
  subject: 'mm/huge_memory: split device-coherent folios as device memory',
  date: '2026',
  where: 'recorded BUG at mm/memcontrol.c:5403',
  merged: false,
  changes:
    'Splitting a folio of coherent device memory gives its tails the pgmap back and keeps them off the LRU lists, as it does with device-private ones.',
  bug: [
    'A huge page of coherent device memory is mapped by ptes; it is to come back, and its folio is split.',
    'lru_add_split_folio() links the tails to the lru of the folio, which is where device memory has its pgmap, and clear_compound_head() has wiped out theirs.',
    'The tails look like system pages on an LRU list: none comes back, and freeing the first of them is a BUG.',
  ],
  sets: ['splits_coherent_as_device'],
} as const satisfies PatchState;
