// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run part-of-a-shared-huge-page-stays

import type { RegressionCase } from '../../harness/regression/case.ts';
import { new_event, wait_for, happen } from '../vocabulary/events.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-939080834fef',
  fails: { kind: 'assertion', text: 'migrating 4 of its pages ended with -2' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    const done = yield* new_event(c, x);
    const pid = yield* c.fork(function* (child) {
      yield* wait_for(child, done);
      yield* expect_kept(child, x, b, [0, 3, 300, 511]);
    });
    const ret = yield* command(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 4);
    yield* happen(c, done);
    yield* c.waitpid(pid);
    x.check(ret === 0, `migrating 4 of its pages ended with ${ret}`);
    yield* expect_kept(c, x, b, [0, 3, 300, 511]);
  },
};

export default regression;
