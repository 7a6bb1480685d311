// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-coherent-chunk',
  kind: 'proposed',
  subject: 'lib/test_hmm: one chunk a coherent device',
  date: '2026',
  where: 'recorded warnings in memremap_pages()',
  merged: false,
  changes:
    'A coherent device whose one range is in use does not remap it once more, and takes single pages from a free huge one when no others are left.',
  bug: [
    'The memory of a coherent device is released, and the first to ask for some again wants a huge page: the new chunk consists of huge pages.',
    'A single page is to migrate there; none is free, and a second chunk conflicts with the first.',
    'The page does not move, and the device has nothing to read, though the chunk is all but empty.',
  ],
  sets: ['one_coherent_chunk'],
} as const satisfies PatchState;
