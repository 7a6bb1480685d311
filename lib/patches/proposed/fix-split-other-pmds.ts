// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-split-other-pmds',
  kind: 'proposed',
  subject: 'mm/migrate_device: unmap large folios by ptes elsewhere',
  date: '2026',
  where: 'recorded BUG at mm/migrate.c:368',
  merged: false,
  changes:
    'migrate_device_unmap() splits the pmds through which other address spaces map a large folio, since the folio may be split before it is mapped again.',
  bug: [
    'A process and its child map a huge page, each by a pmd. The child migrates it to a coherent device: both pmds become migration entries.',
    'The device has no huge page, so the folio is split; of the pmds only that of the child is split with it.',
    "remove_migration_pte() finds the parent's pmd, a migration entry for a folio that is a single page by now.",
  ],
  sets: ['splits_other_pmds'],
} as const satisfies PatchState;
