// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run migrate-to-system-of-a-process-that-is-gone

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { leave_mirror_to_a_child } from './mirror-of-a-process-that-is-gone.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-to-system-leak-fix',
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
