// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-c2af060d1c18',
  kind: 'reverted',
  subject: 'lib/test_hmm.c: handle src_pfns and dst_pfns allocation failure',
  date: '2024',
  where: 'c2af060d1c18',
  merged: true,
  changes:
    'dmirror_device_evict_chunk() allocates its arrays in one piece each, without __GFP_NOFAIL and without a check.',
  bug: [
    "A page is on the device and the mirror is closed, so that the device's memory is to be evicted.",
    "The array for the chunk's 65536 pages cannot be allocated.",
    'Nobody looks whether it could, and the first entry is written to address 0.',
  ],
  sets: ['eviction_may_lack_memory'],
} as const satisfies PatchState;
