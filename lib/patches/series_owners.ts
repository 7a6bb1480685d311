// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** One field for owner and selection, as in Linux 5.7, and none at all, as before. NON-KERNEL. */
export const owner_states: readonly PatchState[] = [
  {
    id: 'src-owner',
    kind: 'series',
    subject: 'mm: handle multiple owners of device private pages in migrate_vma',
    date: '2020-03-16',
    where: 'seed 004, 800bb1c8dc80 of Linux 5.7; 5143192cd410 replaced it',
    merged: false,
    changes:
      'struct migrate_vma has src_owner in the place of pgmap_owner and flags: NULL selects system pages, an owner its private pages and nothing else. ' +
      'A migration is MMU_NOTIFY_CLEAR to its own device too, and test_hmm has no coherent devices.',
    excludes: ['no-800bb1c8dc80'],
  },
  {
    id: 'no-800bb1c8dc80',
    kind: 'reverted',
    subject: 'mm: handle multiple owners of device private pages in migrate_vma',
    date: '2020-03-16',
    where: 'seed 004, 800bb1c8dc80',
    merged: true,
    changes:
      'migrate_vma selects system pages and the private pages of every device, with neither owner nor flags; the rest is as in src-owner.',
  },
];
