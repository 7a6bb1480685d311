// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-44af0b45d58d',
  kind: 'reverted',
  subject: 'mm/migrate_device: return number of migrating pages in args->cpages',
  date: '2022',
  where: '44af0b45d58d',
  merged: true,
  changes:
    'migrate_vma_setup() counts in cpages the pages that it unmapped only, and none of the empty places that can be filled.',
  bug: [
    'A driver moves a range in which two pages were never touched; it does so only if the whole range can be moved.',
    'migrate_vma_setup() counts in cpages what it unmapped, but not the empty places, which can be moved as well.',
    'The driver takes the range for one that cannot be moved as a whole.',
  ],
  sets: ['cpages_without_empty'],
} as const satisfies PatchState;
