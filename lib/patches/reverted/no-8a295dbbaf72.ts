// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-8a295dbbaf72',
  kind: 'reverted',
  subject: 'mm/hmm: fault non-owner device private entries',
  date: '2022',
  where: '8a295dbbaf72',
  merged: true,
  changes:
    "hmm_range_fault() answers -EFAULT for a private page of another device's instead of bringing it to system memory.",
  bug: [
    'Device 0 holds a page in its private memory.',
    'Device 1 mirrors the same process and reads the address: the pte is a private entry of another owner.',
    'hmm_range_fault() takes it for something that cannot be faulted in and answers -EFAULT, although the CPU could have brought it back.',
  ],
  sets: ['hmm_foreign_private_is_error'],
} as const satisfies PatchState;
