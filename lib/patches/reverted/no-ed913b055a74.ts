// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-ed913b055a74',
  kind: 'reverted',
  subject: 'lib/test_hmm: avoid accessing uninitialized pages',
  date: '2022',
  where: 'ed913b055a74',
  merged: true,
  changes:
    "dmirror_exclusive() enters all of its array of 64 pages into the mirror's page table, those too that make_device_exclusive_range() did not answer.",
  bug: [
    'A device wants exclusive access to 128 pages, of which only the first 64 are mapped.',
    'make_device_exclusive_range() answers them at the first call, and at the second it fails and fills nothing in.',
    'The array still holds the pages of the first call. They are entered at the addresses of the second half, though they are neither locked nor referenced any more.',
    'The device reads the first half where nothing is mapped.',
  ],
  needs: ['exclusive-range'],
  sets: ['exclusive_enters_stale_pages'],
} as const satisfies PatchState;
