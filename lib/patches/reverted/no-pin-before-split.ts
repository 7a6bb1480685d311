// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-pin-before-split',
  kind: 'reverted',
  subject: 'mm/migrate_device: pin large folios before splitting',
  date: '2026',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes:
    'migrate_vma_collect_pmd() takes its reference on a large folio that it has to split after it has given the page-table lock back.',
  bug: [
    'Migration meets one page of a large folio, which it has to split; it gives the page-table lock back for that.',
    'Before it takes a reference, another thread unmaps the page: the folio is free.',
    'The migration takes its reference, lock and split on a folio that is free.',
  ],
  sets: ['split_before_pin'],
} as const satisfies PatchState;
