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
  sets: ['cpages_without_empty'],
} as const satisfies PatchState;
