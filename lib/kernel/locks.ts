// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from './gen.ts';
import { Oops } from './printk.ts';
import {
  TASK_INTERRUPTIBLE, TASK_KILLABLE, TASK_UNINTERRUPTIBLE, fatal_signal_pending, preempt_point, schedule,
  signal_pending, type task_struct, type WaitPoint,
} from './sched/core.ts';
import { EINTR, ERESTARTSYS } from '../errno.ts';

function forget(t: task_struct, lock: WaitPoint): void {
  take_out(t.held_locks, lock);
}

// Locks are mostly given back in reverse order, so the last element is the usual one.
function take_out<T>(a: T[], item: T): boolean {
  if (a[a.length - 1] === item) {
    a.pop();
    return true;
  }
  const i = a.lastIndexOf(item);
  if (i >= 0) a.splice(i, 1);
  return i >= 0;
}

/** Tasks that wait for something to happen (include/linux/wait.h: struct wait_queue_head). */
export class wait_queue_head implements WaitPoint {
  readonly what: string;
  readonly tasks: task_struct[] = [];
  constructor(what: string) {
    this.what = what;
  }
}

/** Wakes every waiter (kernel/sched/wait.c: __wake_up()); the wait conditions are tested by the woken. */
export function wake_up(m: Machine, wq: wait_queue_head): void {
  const tasks = wq.tasks.splice(0);
  for (const t of tasks) m.sched.wake_up_process(t);
}

/** One sleep on the queue in the given state, until woken (kernel/sched/wait.c: prepare_to_wait(), finish_wait()). */
export function* wait_on(m: Machine, wq: wait_queue_head, state = TASK_UNINTERRUPTIBLE): Gen<void> {
  const t = m.current;
  wq.tasks.push(t);
  yield* schedule(m, state, wq);
  const i = wq.tasks.indexOf(t);
  if (i >= 0) wq.tasks.splice(i, 1);
}

/** Sleeps until `cond()` holds (include/linux/wait.h: wait_event()). */
export function* wait_event(m: Machine, wq: wait_queue_head, cond: () => boolean): Gen<void> {
  while (!cond()) yield* wait_on(m, wq);
}

/** As wait_event(), but a signal ends it with -ERESTARTSYS (include/linux/wait.h: wait_event_interruptible()). */
export function* wait_event_interruptible(m: Machine, wq: wait_queue_head, cond: () => boolean): Gen<number> {
  while (!cond()) {
    if (signal_pending(m.current)) return -ERESTARTSYS;
    yield* wait_on(m, wq, TASK_INTERRUPTIBLE);
  }
  return 0;
}

/** As wait_event(), but SIGKILL ends it with -ERESTARTSYS (include/linux/wait.h: wait_event_killable()). */
export function* wait_event_killable(m: Machine, wq: wait_queue_head, cond: () => boolean): Gen<number> {
  while (!cond()) {
    if (fatal_signal_pending(m.current)) return -ERESTARTSYS;
    yield* wait_on(m, wq, TASK_KILLABLE);
  }
  return 0;
}

/** A spinlock; contention shows only while interleavings are explored (include/linux/spinlock_types.h: spinlock_t). */
export class spinlock implements WaitPoint {
  readonly what: string;
  readonly yielding = true;
  owner: task_struct | null = null;
  constructor(what: string) {
    this.what = what;
  }
}

/** Takes a spinlock that may be contended by another CPU, such as a page-table lock (include/linux/spinlock.h: spin_lock()). */
export function* spin_lock(m: Machine, lock: spinlock): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, lock.what);
  while (lock.owner !== null) {
    if (lock.owner === m.current) throw new Oops(`BUG: spinlock recursion on ${lock.what}`);
    if (m.sched.runnable.length === 0) throw new Oops(`BUG: spinlock lockup on ${lock.what}, held by task ${lock.owner.pid}`);
    yield lock;
  }
  spin_acquire(m, lock);
}

/** The uncontended half of spin_lock(): false if somebody holds it (include/linux/spinlock.h: spin_trylock()). */
export function spin_trylock(m: Machine, lock: spinlock): boolean {
  if (lock.owner !== null) return false;
  spin_acquire(m, lock);
  return true;
}

function spin_acquire(m: Machine, lock: spinlock): void {
  lock.owner = m.current;
  m.current.preempt_count++;
  m.current.held_locks.push(lock);
}

/** Gives a spinlock back; giving back what one does not hold is an oops (include/linux/spinlock.h: spin_unlock()). */
export function spin_unlock(m: Machine, lock: spinlock): void {
  if (lock.owner !== m.current) throw new Oops(`BUG: spinlock bad unlock of ${lock.what}`);
  lock.owner = null;
  m.current.preempt_count--;
  forget(m.current, lock);
}

/**
 * Takes a leaf spinlock from code that cannot wait: nothing under it reaches a switch point, so it is never found
 * held (include/linux/spinlock.h: spin_lock(), where upstream nests it under others).
 */
export function spin_lock_leaf(m: Machine, lock: spinlock): void {
  if (lock.owner !== null) throw new Oops(`BUG: spinlock recursion on ${lock.what}`);
  spin_acquire(m, lock);
}

/** A sleeping lock with one owner (include/linux/mutex_types.h: struct mutex). */
export class mutex implements WaitPoint {
  readonly what: string;
  owner: task_struct | null = null;
  readonly wq: wait_queue_head;
  constructor(what: string) {
    this.what = what;
    this.wq = new wait_queue_head(what);
  }
}

/** Takes the mutex, sleeping while another task holds it (kernel/locking/mutex.c: mutex_lock()). */
export function* mutex_lock(m: Machine, lock: mutex): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, lock.what);
  while (lock.owner !== null) {
    const t = m.current;
    lock.wq.tasks.push(t);
    yield* schedule(m, TASK_UNINTERRUPTIBLE, lock);
  }
  lock.owner = m.current;
  m.current.held_locks.push(lock);
}

/** Takes the mutex if nobody holds it (kernel/locking/mutex.c: mutex_trylock()). */
export function mutex_trylock(m: Machine, lock: mutex): boolean {
  if (lock.owner !== null) return false;
  lock.owner = m.current;
  m.current.held_locks.push(lock);
  return true;
}

/** Gives the mutex back and wakes who waits (kernel/locking/mutex.c: mutex_unlock()). */
export function mutex_unlock(m: Machine, lock: mutex): void {
  if (lock.owner !== m.current) throw new Oops(`BUG: bad unlock of ${lock.what}`);
  lock.owner = null;
  forget(m.current, lock);
  if (lock.wq.tasks.length > 0) wake_up(m, lock.wq);
}

interface rwsem_waiter {
  task: task_struct;
  write: boolean;
}

/** A sleeping lock of many readers or one writer, first come first served (include/linux/rwsem.h: struct rw_semaphore). */
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

function rwsem_wake(m: Machine, sem: rw_semaphore): void {
  while (sem.waiters.length > 0 && sem.writer === null) {
    const w = sem.waiters[0] as rwsem_waiter;
    if (w.write && sem.readers.length > 0) return;
    sem.waiters.shift();
    if (w.write) sem.writer = w.task;
    else sem.readers.push(w.task);
    w.task.held_locks.push(sem);
    m.sched.wake_up_process(w.task);
  }
}

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

/** As down_read(), but -EINTR when SIGKILL comes while it waits (kernel/locking/rwsem.c: down_read_killable()). */
export function* down_read_killable(m: Machine, sem: rw_semaphore): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, sem.what);
  if (down_read_trylock(m, sem)) return 0;
  return yield* rwsem_wait(m, sem, false, true);
}

/** Takes the lock for reading if no writer holds it or waits for it (kernel/locking/rwsem.c: down_read_trylock()). */
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

/** As down_write(), but -EINTR when SIGKILL comes while it waits (kernel/locking/rwsem.c: down_write_killable()). */
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

/** Gives a read lock back (kernel/locking/rwsem.c: up_read()). */
export function up_read(m: Machine, sem: rw_semaphore): void {
  if (!take_out(sem.readers, m.current)) throw new Oops(`BUG: bad read unlock of ${sem.what}`);
  forget(m.current, sem);
  if (sem.waiters.length > 0) rwsem_wake(m, sem);
}

/** Gives a write lock back (kernel/locking/rwsem.c: up_write()). */
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

/** True while anybody holds it (include/linux/rwsem.h: rwsem_is_locked()). */
export function rwsem_is_locked(sem: rw_semaphore): boolean {
  return sem.writer !== null || sem.readers.length > 0;
}

/** Something that happens once (include/linux/completion.h: struct completion). */
export class completion {
  done = false;
  readonly wq: wait_queue_head;
  constructor(what: string) {
    this.wq = new wait_queue_head(what);
  }
}

/** Sleeps until complete() was called (kernel/sched/completion.c: wait_for_completion()). */
export function* wait_for_completion(m: Machine, x: completion): Gen<void> {
  yield* wait_event(m, x.wq, () => x.done);
}

/** Marks it done and wakes who waits (kernel/sched/completion.c: complete_all()). */
export function complete(m: Machine, x: completion): void {
  x.done = true;
  wake_up(m, x.wq);
}
