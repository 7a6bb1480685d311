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
  bug: [
    'Device pages that are free have a reference count of 1: whoever looks for pages in use finds them all.',
    'The device evicts its memory. migrate_device_range() gets, locks and "unmaps" free pages, and the driver copies what it takes for the memory behind them: the links of its free list.',
  ],
  sets: ['free_device_pages_counted'],
} as const satisfies PatchState;
