// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { Gen } from '../gen.ts';
import { Oops } from '../printk.ts';
import { preempt_point, schedule, type task_struct, TASK_UNINTERRUPTIBLE, type WaitPoint } from '../sched/core.ts';
import { forget, wait_queue_head, wake_up } from '../sched/wait.ts';

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

/** Takes the mutex; sleeps while another task holds it (kernel/locking/mutex.c: mutex_lock()). */
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

/** Takes the mutex if it is free (kernel/locking/mutex.c: mutex_trylock()). */
export function mutex_trylock(m: Machine, lock: mutex): boolean {
  if (lock.owner !== null) return false;
  lock.owner = m.current;
  m.current.held_locks.push(lock);
  return true;
}

/** Releases the mutex and wakes a waiter (kernel/locking/mutex.c: mutex_unlock()). */
export function mutex_unlock(m: Machine, lock: mutex): void {
  if (lock.owner !== m.current) throw new Oops(`BUG: bad unlock of ${lock.what}`);
  lock.owner = null;
  forget(m.current, lock);
  if (lock.wq.tasks.length > 0) wake_up(m, lock.wq);
}
