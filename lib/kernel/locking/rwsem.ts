// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { EINTR } from '../../errno.ts';
import type { Gen } from '../gen.ts';
import { Oops } from '../printk.ts';
import {
  fatal_signal_pending,
  preempt_point,
  schedule,
  TASK_KILLABLE,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
  type WaitPoint,
} from '../sched/core.ts';
import { forget, take_out } from '../sched/wait.ts';

interface rwsem_waiter {
  task: task_struct;
  write: boolean;
}

/**
 * A sleeping lock with many readers or one writer; waiters queue in order (include/linux/rwsem.h: struct rw_semaphore).
 */
export class rw_semaphore implements WaitPoint {
  readonly what: string;
  writer: task_struct | null = null;
  readonly readers: task_struct[] = [];
  readonly waiters: rwsem_waiter[] = [];
  constructor(what: string) {
    this.what = what;
  }
  get owner(): task_struct | null {
    return this.writer ?? this.readers[0] ?? null;
  }
}

/**
 * Grants the lock to the first writer or the first readers of the queue (kernel/locking/rwsem.c: rwsem_mark_wake()).
 */
function rwsem_wake(m: Machine, sem: rw_semaphore): void {
  while (sem.waiters.length > 0 && sem.writer === null) {
    const w = sem.waiters[0];
    if (w.write && sem.readers.length > 0) return;
    sem.waiters.shift();
    if (w.write) sem.writer = w.task;
    else sem.readers.push(w.task);
    w.task.held_locks.push(sem);
    m.sched.wake_up_process(w.task);
  }
}

/**
 * Queues the task and sleeps until it owns the lock. Returns 0, or -EINTR if `killable` and a fatal signal is pending
 * (kernel/locking/rwsem.c: rwsem_down_read_slowpath()). Also upstream's rwsem_down_write_slowpath(). Leaves out
 * optimistic spinning and lock stealing: only timing would differ.
 */
function* rwsem_wait(m: Machine, sem: rw_semaphore, write: boolean, killable: boolean): Gen<number> {
  const task = m.current;
  const w: rwsem_waiter = { task, write };
  sem.waiters.push(w);
  for (;;) {
    yield* schedule(m, killable ? TASK_KILLABLE : TASK_UNINTERRUPTIBLE, sem);
    if (write ? sem.writer === task : sem.readers.includes(task)) return 0;
    if (killable && fatal_signal_pending(task)) {
      sem.waiters.splice(sem.waiters.indexOf(w), 1);
      rwsem_wake(m, sem);
      return -EINTR;
    }
  }
}

/** Takes the lock for reading (kernel/locking/rwsem.c: down_read()). */
export function* down_read(m: Machine, sem: rw_semaphore): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, sem.what);
  if (!down_read_trylock(m, sem)) yield* rwsem_wait(m, sem, false, false);
}

/**
 * Takes the lock for reading. Returns -EINTR if SIGKILL arrives while it waits
 * (kernel/locking/rwsem.c: down_read_killable()).
 */
export function* down_read_killable(m: Machine, sem: rw_semaphore): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, sem.what);
  if (down_read_trylock(m, sem)) return 0;
  return yield* rwsem_wait(m, sem, false, true);
}

/** Takes the lock for reading if no writer holds it or waits (kernel/locking/rwsem.c: down_read_trylock()). */
export function down_read_trylock(m: Machine, sem: rw_semaphore): boolean {
  if (sem.writer !== null || sem.waiters.length > 0) return false;
  sem.readers.push(m.current);
  m.current.held_locks.push(sem);
  return true;
}

/** Takes the lock for writing (kernel/locking/rwsem.c: down_write()). */
export function* down_write(m: Machine, sem: rw_semaphore): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, sem.what);
  if (!down_write_trylock(m, sem)) yield* rwsem_wait(m, sem, true, false);
}

/**
 * Takes the lock for writing. Returns -EINTR if SIGKILL arrives while it waits
 * (kernel/locking/rwsem.c: down_write_killable()).
 */
export function* down_write_killable(m: Machine, sem: rw_semaphore): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, sem.what);
  if (down_write_trylock(m, sem)) return 0;
  return yield* rwsem_wait(m, sem, true, true);
}

/** Takes the lock for writing if it is free (kernel/locking/rwsem.c: down_write_trylock()). */
export function down_write_trylock(m: Machine, sem: rw_semaphore): boolean {
  if (sem.writer !== null || sem.readers.length > 0 || sem.waiters.length > 0) return false;
  sem.writer = m.current;
  m.current.held_locks.push(sem);
  return true;
}

/** Releases a read lock (kernel/locking/rwsem.c: up_read()). */
export function up_read(m: Machine, sem: rw_semaphore): void {
  if (!take_out(sem.readers, m.current)) throw new Oops(`BUG: bad read unlock of ${sem.what}`);
  forget(m.current, sem);
  if (sem.waiters.length > 0) rwsem_wake(m, sem);
}

/** Releases a write lock (kernel/locking/rwsem.c: up_write()). */
export function up_write(m: Machine, sem: rw_semaphore): void {
  if (sem.writer !== m.current) throw new Oops(`BUG: bad write unlock of ${sem.what}`);
  sem.writer = null;
  forget(m.current, sem);
  rwsem_wake(m, sem);
}

/** Turns a write lock into a read lock (kernel/locking/rwsem.c: downgrade_write()). */
export function downgrade_write(m: Machine, sem: rw_semaphore): void {
  if (sem.writer !== m.current) throw new Oops(`BUG: bad downgrade of ${sem.what}`);
  sem.writer = null;
  sem.readers.push(m.current);
  rwsem_wake(m, sem);
}

/** Returns true if any task holds the lock (include/linux/rwsem.h: rwsem_is_locked()). */
export function rwsem_is_locked(sem: rw_semaphore): boolean {
  return sem.writer !== null || sem.readers.length > 0;
}
