// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sched_yield } from '../sched/syscalls.ts';
import { small_machine, start_task } from '../testing.ts';
import { mutex, mutex_lock, mutex_trylock, mutex_unlock } from './mutex.ts';

t.test('a mutex has one owner, and unlocking it wakes who waits', (t) => {
  const m = small_machine();
  const lock = new mutex('lock');
  const order: string[] = [];
  start_task(m, function* () {
    yield* mutex_lock(m, lock);
    order.push('first in');
    yield* sched_yield(m);
    order.push('first out');
    mutex_unlock(m, lock);
  });
  start_task(m, function* () {
    t.notOk(mutex_trylock(m, lock));
    yield* mutex_lock(m, lock);
    order.push('second in');
    mutex_unlock(m, lock);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(order, ['first in', 'first out', 'second in']);
  t.end();
});
