// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-fail-alloc-huge',
  kind: 'proposed',
  subject: 'lib/test_hmm: HMM_DMIRROR_FLAG_FAIL_ALLOC is about huge pages',
  date: '2026',
  where: 'recorded results of migrate_anon_huge_err and migrate_anon_huge_zero_err',
  merged: false,
  changes:
    'The flag makes the next allocation of a huge page fail and lets single pages alone, whose failure nothing makes good.',
  bug: [
    'There are no transparent huge pages, and the next allocation of the driver is to fail.',
    'Migrating to the device, the first single page stays where it is for want of a device page.',
    'The mirror has no page there, and the command ends with -ENOENT.',
  ],
  sets: ['fails_huge_only'],
} as const satisfies PatchState;
