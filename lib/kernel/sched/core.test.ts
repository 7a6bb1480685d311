// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { small_machine, start_task } from '../testing.ts';
import { Deadlock, type task_struct, xorshift32 } from './core.ts';
import { wait_on, wait_queue_head, wake_up } from './wait.ts';

t.test('a deadlock names who waits for what', (t) => {
  const m = small_machine();
  const wq = new wait_queue_head('a message that never comes');
  start_task(m, () => wait_on(m, wq), 'reader');
  t.throws(
    () => m.sched.run(() => m.sched.tasks.length === 0),
    new Deadlock(['task 1 (reader) waits for a message that never comes']),
  );
  t.end();
});

t.test('waking a task that runs does nothing', (t) => {
  const m = small_machine();
  const task: task_struct = start_task(m, function* () {
    m.sched.wake_up_process(task);
    wake_up(m, new wait_queue_head('nobody'));
    t.equal(m.sched.runnable.length, 0);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.end();
});

t.test('random numbers depend on the seed alone', (t) => {
  const [a, b, c] = [xorshift32(7), xorshift32(7), xorshift32(8)];
  const first = [a(), a(), a()];
  t.same([b(), b(), b()], first);
  t.notSame([c(), c(), c()], first);
  t.end();
});
