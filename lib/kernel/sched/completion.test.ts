// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { down_write_trylock, rw_semaphore } from '../locking/rwsem.ts';
import { small_machine, start_task } from '../testing.ts';
import { complete, completion, wait_for_completion } from './completion.ts';

t.test('a completion lets everybody through once it is complete', (t) => {
  const m = small_machine();
  const done = new completion('done');
  let passed = 0;
  for (let i = 0; i < 2; i++) {
    start_task(m, function* () {
      yield* wait_for_completion(m, done);
      passed++;
    });
  }
  start_task(m, function* () {
    t.equal(passed, 0);
    complete(m, done);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.equal(passed, 2);
  t.ok(down_write_trylock(m, new rw_semaphore('free')));
  t.end();
});
