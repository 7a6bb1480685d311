// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-3ea277194daa',
  kind: 'reverted',
  subject: 'mm, mprotect: flush TLB if potentially racing with a parallel reclaim leaving stale TLB entries',
  date: '2017',
  where: '3ea277194daa',
  merged: true,
  changes: 'flush_tlb_batched_pending() does nothing: who changes ptes does not flush what reclaim has put off.',
  bug: [
    'Reclaim unmaps a lazily freed page and puts the flush of the other CPUs off until the end of its batch.',
    'Another thread drops the range by madvise(MADV_DONTNEED), which finds nothing present and so flushes nothing.',
    'madvise() has returned, and the thread still reads what it threw away; only then does reclaim flush.',
  ],
  sets: ['no_flush_of_batches'],
} as const satisfies PatchState;
