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
  sets: ['device_added_first'],
} as const satisfies PatchState;
