// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-read-retry',
  kind: 'reverted',
  subject: 'the retry rule of Documentation/mm/hmm.rst',
  date: '2019',
  where: 'mm/hmm.c and its documentation',
  merged: true,
  changes: 'The driver does not ask mmu_interval_read_retry() before it uses what hmm_range_fault() answered.',
  bug: [
    'A device reads a page: hmm_range_fault() answers which page it is.',
    'Before the driver enters it into its page table another thread gives the memory up; the invalidation finds nothing to take out.',
    "The driver enters the page, which is free and soon somebody else's, and reads that from then on.",
  ],
  sets: ['no_read_retry'],
} as const satisfies PatchState;
