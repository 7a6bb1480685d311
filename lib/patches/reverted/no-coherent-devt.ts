// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-coherent-devt',
  kind: 'reverted',
  subject: 'lib: test_hmm: use device devt for coherent device range selection',
  date: '2026',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'The range of a coherent device is chosen by a device number that is not set yet.',
  bug: [
    'The module is loaded with a range for each of the two coherent devices.',
    'Which of them a device gets is told by its minor number, and that is read where it stands only later: both read 0.',
    'Both devices take the same range; the second conflicts with the first, and the module does not load.',
  ],
  sets: ['coherent_range_by_cdev'],
} as const satisfies PatchState;
