// SPDX-License-Identifier: GPL-2.0-only

import { do_device_private_page_polling } from '../../mm/memory/device_private.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-b570f37a2ce4',
  kind: 'reverted',
  subject: 'mm: Fix a hmm_range_fault() livelock / starvation problem',
  date: '2026',
  where: 'b570f37a2ce4',
  merged: true,
  changes:
    'A fault that finds a private page locked comes again at once instead of sleeping; the kernel is one that is not preempted, so its CPU runs nothing else meanwhile.',
  bug: [
    'A private page of device 0 is mapped by a process and its child. The child brings it back: it locks the page and takes down one mapping after the other.',
    'Before that is done it lets another task run on its CPU: device 1 reads the page for the parent.',
    'do_swap_page() does not get the lock and returns, and hmm_range_fault() comes again at once, with no point between at which a kernel that is not preempted would let the child go on.',
  ],
  seams: { device_private_fault: do_device_private_page_polling },
} as const satisfies PatchState;
