// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-ef233450898f',
  kind: 'reverted',
  subject: 'mm: free device private pages have zero refcount',
  date: '2022',
  where: 'ef233450898f',
  merged: true,
  changes: 'A device page that is free has a reference count of 1, as one that is in use.',
  sets: ['free_device_pages_counted'],
} as const satisfies PatchState;
