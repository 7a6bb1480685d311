// SPDX-License-Identifier: GPL-2.0-only

import { by_nothing } from '../../mm/migrate_device/select.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-800bb1c8dc80',
  kind: 'reverted',
  subject: 'mm: handle multiple owners of device private pages in migrate_vma',
  date: '2020-03-16',
  where: 'seed 004, 800bb1c8dc80',
  merged: true,
  changes:
    'migrate_vma selects system pages and the private pages of every device, with neither owner nor flags; the rest is as in src-owner.',
  bug: [
    'Two devices have pages of one range.',
    'The first is told to bring its pages back to system memory.',
    'migrate_vma does not look at whom a private page belongs to: the pages of the second are selected too, and the driver of the first handles them as its own.',
  ],
  seams: { migrate_selection: by_nothing },
} as const satisfies PatchState;
