// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { audit } from '../audit.ts';
import { mutex, mutex_lock, mutex_unlock, wait_event, wait_queue_head, wake_up } from './locks.ts';
import { Deadlock } from './sched.ts';
import { run_task, small_machine, start_task } from './testing.ts';

t.test('the machine is small, has no huge pages unless asked, and is clean', (t) => {
  const m = small_machine();
  t.same([m.config.mem, m.config.thp, m.config.cpus], [64 * 1024 * 1024, 'never', 2]);
  const other = small_machine({ thp: 'always', cpus: 1 }).config;
  t.same([other.mem, other.thp, other.cpus], [64 * 1024 * 1024, 'always', 1]);
  t.same(audit(m), []);
  t.end();
});

t.test('a task runs to its end as the current one, after those that were started before it', (t) => {
  const m = small_machine();
  const order: string[] = [];
  const early = start_task(m, function* () {
    order.push('early');
  }, 'first');
  t.same(order, [], 'not before the scheduler runs');
  const task = run_task(m, function* () {
    t.equal(m.current.comm, 'second');
    t.equal(m.current.thread_group[0], m.current);
    order.push('late');
  }, 'second');
  t.same(order, ['early', 'late']);
  t.equal(task.gen, null);
  t.equal(task.pid, early.pid + 1);
  t.equal(m.sched.tasks.length, 0);
  t.end();
});

t.test('a task that another one wakes gets on, and one that nobody wakes is a deadlock that names its wait', (t) => {
  const m = small_machine();
  const wq = new wait_queue_head('a wakeup');
  let there = false;
  const sleeper = start_task(m, function* () {
    yield* wait_event(m, wq, () => there);
  });
  run_task(m, function* () {
    there = true;
    wake_up(m, wq);
  });
  run_task(m, function* () {
    yield* wait_event(m, wq, () => sleeper.gen === null);
  });
  t.equal(sleeper.gen, null);

  const lock = new mutex('the lock');
  t.throws(() => run_task(m, function* () {
    yield* mutex_lock(m, lock);
    yield* wait_event(m, wq, () => false);
    mutex_unlock(m, lock);
  }, 'stuck'), new Deadlock([`task ${sleeper.pid + 3} (stuck) waits for a wakeup`]));
  t.same(audit(m), [`lock: task ${sleeper.pid + 3} holds the lock`]);
  t.end();
});
