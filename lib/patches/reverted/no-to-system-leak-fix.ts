// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-to-system-leak-fix',
  kind: 'reverted',
  subject: 'lib/test_hmm: fix memory leak in dmirror_migrate_to_system()',
  date: '2026',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes:
    'dmirror_migrate_to_system() allocates its arrays before it looks whether the mirrored address space is there.',
  bug: [
    'A process opens a mirror, hands the descriptor to a child and exits.',
    'The child asks for pages to be brought back; dmirror_migrate_to_system() allocates its two arrays.',
    'The address space is gone, the function returns -EINVAL, and nobody frees the arrays.',
  ],
  sets: ['to_system_allocates_first'],
} as const satisfies PatchState;
