// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-939080834fef',
  kind: 'reverted',
  subject: 'mm/huge_memory: fix early failure try_to_migrate() when split huge pmd for shared THP',
  date: '2026',
  where: '939080834fef',
  merged: true,
  changes:
    'try_to_migrate_one() ends the walk over all mappings of a huge page as soon as it has split one pmd, instead of walking the ptes that it was split into.',
  bug: [
    'A process and its child map a huge page, each by a pmd. Part of it is to migrate to a device, so the folio is to be split.',
    'unmap_folio() unmaps it with TTU_SPLIT_HUGE_PMD. The first pmd is split with migration entries, and try_to_migrate_one() says that it failed.',
    'That ends the walk: the other process maps the folio as before, its references are more than are expected, and it is not split.',
    'Nothing migrates.',
  ],
  sets: ['ttu_split_ends_walk'],
} as const satisfies PatchState;
