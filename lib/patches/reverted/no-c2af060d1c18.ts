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
  sets: ['eviction_may_lack_memory'],
} as const satisfies PatchState;
