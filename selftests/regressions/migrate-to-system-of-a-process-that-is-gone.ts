// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib/test_hmm: fix memory leak in dmirror_migrate_to_system()
// Upstream: merged (no commit id at hand)
//
// Bug:
//  1. A process opens a mirror, hands the descriptor to a child and exits.
//  2. The child asks for pages to be brought back; dmirror_migrate_to_system() allocates its two arrays.
//  3. The address space is gone, the function returns -EINVAL, and nobody frees the arrays.
//
// Running: npm run -s regression -- run migrate-to-system-of-a-process-that-is-gone

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { leave_mirror_to_a_child } from './mirror-of-a-process-that-is-gone.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib/test_hmm: fix memory leak in dmirror_migrate_to_system()',
  upstream: 'merged (no commit id at hand)',
  bug: [
    'A process opens a mirror, hands the descriptor to a child and exits.',
    'The child asks for pages to be brought back; dmirror_migrate_to_system() allocates its two arrays.',
    'The address space is gone, the function returns -EINVAL, and nobody frees the arrays.',
  ],
  without: ['no-to-system-leak-fix'],
  with: [],
  fails: { kind: 'audit', text: 'kvcalloc() were not freed' },
  *run(c, x) {
    const done = yield* c.eventfd(0, 0);
    const b = yield* small_buffer(c, x, 1);
    const pid = yield* c.fork((p) => leave_mirror_to_a_child(p, x, b, done, U.HMM_DMIRROR_MIGRATE_TO_SYS, -U.EINVAL));
    yield* c.waitpid(pid);
    yield* c.read(done, b.ptr, 8);
    x.check((yield* c.load64(b.ptr)) === 1, 'migrating did not end with -EINVAL');
  },
};

export default regression;
