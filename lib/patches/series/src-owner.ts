// SPDX-License-Identifier: GPL-2.0-only

import { by_src_owner } from '../../mm/migrate_device/select.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'src-owner',
  kind: 'series',
  subject: 'mm: handle multiple owners of device private pages in migrate_vma',
  date: '2020-03-16',
  where: 'seed 004, 800bb1c8dc80 of Linux 5.7; 5143192cd410 replaced it',
  merged: false,
  changes:
    'struct migrate_vma has src_owner in the place of pgmap_owner and flags: NULL selects system pages, an owner its private pages and nothing else. A migration is MMU_NOTIFY_CLEAR to its own device too, and test_hmm has no coherent devices.',
  excludes: ['no-800bb1c8dc80'],
  seams: { migrate_selection: by_src_owner },
} as const satisfies PatchState;
