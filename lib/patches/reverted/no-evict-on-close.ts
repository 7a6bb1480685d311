// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-evict-on-close',
  kind: 'reverted',
  subject: 'lib: test_hmm: evict device pages on file close to avoid use-after-free',
  date: '2026',
  where: 'Fixes b2ef9f5a5cb3',
  merged: true,
  changes: 'Closing a mirror leaves its pages on the device.',
  bug: [
    "A page is in the device's private memory; what backs it names the mirror that put it there.",
    'The mirror is closed and freed; the page stays.',
    'The process touches the page, and migrate_to_ram() uses the mirror.',
  ],
  sets: ['close_keeps_device_pages'],
} as const satisfies PatchState;
