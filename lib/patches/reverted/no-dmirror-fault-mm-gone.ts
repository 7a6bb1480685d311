// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-dmirror-fault-mm-gone',
  kind: 'reverted',
  subject: 'lib/test_hmm: fail dmirror_fault() when the mirrored mm is gone',
  date: '2026',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'dmirror_fault() reports success when the mirrored address space is gone.',
  sets: ['fault_without_mm_succeeds'],
} as const satisfies PatchState;
