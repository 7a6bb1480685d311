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
  bug: [
    'A process opens a mirror, hands the descriptor to a child and exits: the mirrored address space is gone.',
    'The child reads through the mirror; the mirror has no page, so dmirror_read() calls dmirror_fault().',
    'dmirror_fault() cannot get the address space and says that all is well, and dmirror_read() tries again, for ever.',
  ],
  sets: ['fault_without_mm_succeeds'],
} as const satisfies PatchState;
