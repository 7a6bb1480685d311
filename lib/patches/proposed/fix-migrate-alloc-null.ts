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
  bug: [
    'A coherent device is full. A huge page is to migrate there and there is no huge device page, so 512 single ones are asked for.',
    'The first cannot be had either; dmirror_devmem_alloc_page() answers NULL.',
    'Nobody looks, and the driver takes the page behind page NULL.',
  ],
  sets: ['checks_small_pages'],
} as const satisfies PatchState;
