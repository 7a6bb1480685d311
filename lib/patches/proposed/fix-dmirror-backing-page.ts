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
  bug: [
    "A page is in the device's private memory, and a second mirror of the same device, whose page table is empty, reads it.",
    "hmm_range_fault() answers the private page itself, as it does for the page's owner, and dmirror_do_fault() enters it.",
    "dmirror_do_read() copies from the private page's kernel address, and there is none.",
  ],
  sets: ['mirrors_backing_page'],
} as const satisfies PatchState;
