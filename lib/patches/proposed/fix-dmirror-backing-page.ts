// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-dmirror-backing-page',
  kind: 'proposed',
  subject: 'lib/test_hmm: read private pages through what backs them',
  date: '2026',
  where: 'recorded oopses in dmirror_do_read() and dmirror_do_write()',
  merged: false,
  changes:
    "dmirror_do_fault() enters the backing page of a private page into the mirror's page table, as dmirror_migrate_finalize_and_map() does, instead of the private page itself, which has no kernel address.",
  sets: ['mirrors_backing_page'],
} as const satisfies PatchState;
