// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-migrate-alloc-null',
  kind: 'proposed',
  subject: 'lib/test_hmm: check every page that takes the place of a huge one',
  date: '2026',
  where: 'recorded oopses of migrate_anon_huge_err',
  merged: false,
  changes: 'dmirror_migrate_alloc_and_copy() leaves a page where it is if there is no device page for it.',
  sets: ['checks_small_pages'],
} as const satisfies PatchState;
