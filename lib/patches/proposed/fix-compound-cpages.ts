// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-compound-cpages',
  kind: 'proposed',
  subject: 'lib/test_hmm: count the pages of a huge page that came back',
  date: '2026',
  where: 'recorded results of migrate_multiple',
  merged: false,
  changes: 'dmirror_migrate_to_system() counts 512 pages in cpages for a huge page that migrated as a whole, not 1.',
  bug: [
    'A huge page in device memory comes back as a whole; one entry, marked as compound, stands for it.',
    'dmirror_successful_migrated_pages() counts entries.',
    'The caller is told that 1 page came back, where it was 512.',
  ],
  sets: ['counts_huge_cpages'],
} as const satisfies PatchState;
