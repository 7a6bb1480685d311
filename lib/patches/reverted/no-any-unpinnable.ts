// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-any-unpinnable',
  kind: 'reverted',
  subject: 'mm/gup: coherent-only long-term pin must still migrate',
  date: '2025',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes:
    'Long-term pinning takes an empty list of isolated folios for nothing to do, though coherent pages are never on it.',
  bug: [
    'A range of nothing but coherent device pages is pinned for long.',
    'They must move to system memory first; but device pages are on no LRU list, so the list of isolated folios stays empty.',
    'The empty list is taken for nothing to do: the pages are pinned where they are.',
  ],
  sets: ['empty_list_is_pinnable'],
} as const satisfies PatchState;
