// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-v1-young-dirty',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: migration entries from pages of v1',
  date: '2025-12-31',
  where: '20251231043154.42931-1 (v1)',
  merged: false,
  changes: 'A migration entry that fork() or mprotect() takes the right to write from loses its young and dirty bits.',
  bug: [
    'A coherent device is evicted: the pages of a process become writable migration entries, which keep that they are young and dirty.',
    'Meanwhile the process calls mprotect(), which makes the entry anew from its page, and readable.',
    'The function that does that takes no flags: the page comes back as if nobody had used it.',
  ],
  needs: ['device-private-offsets'],
  sets: ['migration_forgets_young_dirty'],
} as const satisfies PatchState;
