// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run pmd-lock-kept-in-a-reaped-process

import type { RegressionCase } from '../../harness/regression/case.ts';
import { kill_and_reap } from '../vocabulary/drivers.ts';
import { happen, new_event, wait_for } from '../vocabulary/events.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-63451de16e0a',
  fails: { kind: 'oops', text: 'ptlock_free() of a locked page table' },
  *run(c, x) {
    const done = yield* new_event(c, x);
    const victim = yield* c.fork(function* (v) {
      const fd = yield* open_device(v, x, 0);
      const b = yield* huge_buffer(v, x);
      const pid = v.getpid();
      yield* v.fork(function* (r) {
        yield* kill_and_reap(r, x, pid);
        const ret = yield* command(r, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES);
        x.check(ret === -U.ENOENT, `filling an empty place of a reaped process ended with ${ret}`);
        yield* happen(r, done);
      });
      yield* v.pause();
    });
    yield* wait_for(c, done);
    yield* c.waitpid(victim);
  },
};

export default regression;
