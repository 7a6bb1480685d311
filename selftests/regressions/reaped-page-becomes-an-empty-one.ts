// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run reaped-page-becomes-an-empty-one

import type { RegressionCase } from '../../harness/regression/case.ts';
import { kill_and_reap } from '../vocabulary/drivers.ts';
import { happen, new_event, wait_for } from '../vocabulary/events.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { command, mirrored, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-insert-page-stable-check',
  fails: { kind: 'assertion', text: 'the device reads 0 where 100 was written' },
  *run(c, x) {
    const done = yield* new_event(c, x);
    const victim = yield* c.fork(function* (v) {
      const fd = yield* open_device(v, x, 0);
      const b = yield* small_buffer(v, x, 1);
      const pid = v.getpid();
      yield* v.fork(function* (r) {
        yield* kill_and_reap(r, x, pid);
        const ret = yield* command(r, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1);
        x.check(ret !== 0, `the device reads ${yield* mirrored(r, b, 0)} where ${word(0)} was written`);
        yield* happen(r, done);
      });
      yield* v.pause();
    });
    yield* wait_for(c, done);
    yield* c.waitpid(victim);
  },
};

export default regression;
