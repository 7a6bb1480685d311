// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../boot.ts';
import type { Gen } from '../gen.ts';
import { Oops } from '../printk.ts';
import { preempt_point, type task_struct, type WaitPoint } from '../sched/core.ts';
import { forget } from '../sched/wait.ts';

/** A spinlock; contention shows only while interleavings are explored (include/linux/spinlock_types.h: spinlock_t). */
export class spinlock implements WaitPoint {
  readonly what: string;
  readonly yielding = true;
  owner: task_struct | null = null;
  constructor(what: string) {
    this.what = what;
  }
}

/**
 * Takes a spinlock that may be contended by another CPU, such as a page-table lock (include/linux/spinlock.h:
 * spin_lock()).
 */
export function* spin_lock(m: Machine, lock: spinlock): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, lock.what);
  while (lock.owner !== null) {
    if (lock.owner === m.current) throw new Oops(`BUG: spinlock recursion on ${lock.what}`);
    if (m.sched.runnable.length === 0)
      throw new Oops(`BUG: spinlock lockup on ${lock.what}, held by task ${lock.owner.pid}`);
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
