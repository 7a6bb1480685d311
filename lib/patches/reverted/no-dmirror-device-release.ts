// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-dmirror-device-release',
  kind: 'reverted',
  subject: 'lib: test_hmm: implement a device release method',
  date: '2026',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes:
    'test_hmm registers a device before it has memory, and lets it stand when it gets none and the module fails to load.',
  bug: [
    'test_hmm is loaded with an address at which there can be no memory for the second coherent device.',
    "It has registered each device before it asked for the device's memory. Of the one that gets none nothing is undone, for it has no release method that could do so.",
    'The module is gone, and its device is still in /dev.',
  ],
  sets: ['device_added_first'],
} as const satisfies PatchState;
