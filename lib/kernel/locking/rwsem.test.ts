// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Oops } from '../printk.ts';
import { sched_yield } from '../sched/syscalls.ts';
import { small_machine, start_task } from '../testing.ts';
import { mutex, mutex_unlock } from './mutex.ts';
import {
  down_read,
  down_read_trylock,
  down_write,
  downgrade_write,
  rw_semaphore,
  rwsem_is_locked,
  up_read,
  up_write,
} from './rwsem.ts';
import { spin_unlock, spinlock } from './spinlock.ts';

t.test('a writer waits for readers, and later readers wait for the writer', (t) => {
  const m = small_machine();
  const sem = new rw_semaphore('sem');
  const order: string[] = [];
  start_task(m, function* () {
    yield* down_read(m, sem);
    yield* sched_yield(m);
    yield* sched_yield(m);
    order.push('reader done');
    up_read(m, sem);
  });
  start_task(m, function* () {
    yield* down_write(m, sem);
    order.push('writer');
    downgrade_write(m, sem);
    yield* sched_yield(m);
    up_read(m, sem);
  });
  start_task(m, function* () {
    t.notOk(down_read_trylock(m, sem), 'a writer waits');
    yield* down_read(m, sem);
    order.push('late reader');
    up_read(m, sem);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(order, ['reader done', 'writer', 'late reader']);
  t.notOk(rwsem_is_locked(sem));
  t.end();
});

t.test('unlocking what one does not hold is an oops', (t) => {
  const m = small_machine();
  for (const [name, wrong] of [
    ['mutex', () => mutex_unlock(m, new mutex('x'))],
    ['spinlock', () => spin_unlock(m, new spinlock('x'))],
    ['read lock', () => up_read(m, new rw_semaphore('x'))],
    ['write lock', () => up_write(m, new rw_semaphore('x'))],
  ] as const)
    t.throws(wrong, Oops, name);
  t.end();
});
