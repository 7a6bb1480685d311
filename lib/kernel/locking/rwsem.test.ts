// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Oops } from '../printk.ts';
import { complete, completion, wait_for_completion } from '../sched/completion.ts';
import { sched_yield } from '../sched/syscalls.ts';
import { run_task, small_machine, start_task } from '../testing.ts';
import { schedule_timeout } from '../time/sleep_timeout.ts';
import { mutex, mutex_lock, mutex_trylock, mutex_unlock } from './mutex.ts';
import {
  down_read,
  down_read_trylock,
  down_write,
  down_write_trylock,
  downgrade_write,
  rw_semaphore,
  rwsem_is_locked,
  up_read,
  up_write,
} from './rwsem.ts';
import { spin_lock, spin_lock_leaf, spin_trylock, spin_unlock, spinlock } from './spinlock.ts';

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

t.test('sleeping with a spinlock held is an oops, and so is taking it twice', (t) => {
  const m = small_machine();
  run_task(m, function* () {
    yield* spin_lock(m, new spinlock('ptl'));
    yield* schedule_timeout(m, 100, 2);
  });
  t.match(m.log.oopses[0]?.bug, /scheduling while atomic/);
  run_task(m, function* () {
    const lock = new spinlock('ptl');
    yield* spin_lock(m, lock);
    t.notOk(spin_trylock(m, lock));
    t.throws(() => spin_lock_leaf(m, lock), /recursion/);
    spin_unlock(m, lock);
    t.ok(spin_trylock(m, lock));
    spin_unlock(m, lock);
  });
  t.equal(m.log.oopses.length, 1);
  t.end();
});

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
