// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-hmm-error-efault',
  kind: 'reverted',
  subject: 'mm/hmm: return -EFAULT when setting HMM_PFN_ERROR on requested valid pages',
  date: '2020',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'hmm_range_fault() answers 0 and HMM_PFN_ERROR for pages behind an absent pmd that were asked for.',
  bug: [
    'Device 0 holds a huge page; the pmd is a device-private entry.',
    'Device 1 asks hmm_range_fault() for a page of it, to be faulted in.',
    'The walk sets HMM_PFN_ERROR for the page and answers 0, so that the driver takes an error for a page.',
  ],
  sets: ['hmm_error_is_no_fault'],
} as const satisfies PatchState;
