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
  seams: { device_private_fault: do_device_private_page_polling },
} as const satisfies PatchState;
