// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { done, type Gen } from '../gen.ts';
import { Oops } from '../printk.ts';
import { preempt_point, type task_struct, type WaitPoint } from '../sched/core.ts';
import { forget } from '../sched/wait.ts';

/** A spinlock. It is contended only while interleavings are explored (include/linux/spinlock.h: spin_lock_init()). */
export class spinlock implements WaitPoint {
  readonly what: string;
  readonly yielding = true;
  owner: task_struct | null = null;
  constructor(what: string) {
    this.what = what;
  }
}

/** Takes a spinlock that another CPU may hold, such as a page table lock (include/linux/spinlock.h: spin_lock()). */
export function spin_lock(m: Machine, lock: spinlock): Gen<void> {
  if (m.sched.explore || lock.owner !== null) return spin_lock_slowpath(m, lock);
  return done(spin_acquire(m, lock));
}

/** The part of spin_lock() that may wait. NON-KERNEL. */
function* spin_lock_slowpath(m: Machine, lock: spinlock): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, lock.what);
  while (lock.owner !== null) {
    if (lock.owner === m.current) throw new Oops(`BUG: spinlock recursion on ${lock.what}`);
    if (m.sched.runnable.length === 0)
      throw new Oops(`BUG: spinlock lockup on ${lock.what}, held by task ${lock.owner.pid}`);
    yield lock;
  }
  spin_acquire(m, lock);
}

/** Takes a spinlock if it is free (include/linux/spinlock.h: spin_trylock()). */
export function spin_trylock(m: Machine, lock: spinlock): boolean {
  if (lock.owner !== null) return false;
  spin_acquire(m, lock);
  return true;
}

/** Makes the current task the owner of a free lock. NON-KERNEL: the common part of spin_lock() and spin_trylock(). */
function spin_acquire(m: Machine, lock: spinlock): void {
  lock.owner = m.current;
  m.current.preempt_count++;
  m.current.held_locks.push(lock);
}

/** Releases a spinlock; oopses if the task does not hold it (include/linux/spinlock.h: spin_unlock()). */
export function spin_unlock(m: Machine, lock: spinlock): void {
  if (lock.owner !== m.current) throw new Oops(`BUG: spinlock bad unlock of ${lock.what}`);
  lock.owner = null;
  m.current.preempt_count--;
  forget(m.current, lock);
}

/**
 * Takes a leaf spinlock in a plain function. Nothing under it can switch tasks, so it is never contended
 * (include/linux/spinlock.h: spin_lock()). Upstream nests it under other locks.
 */
export function spin_lock_leaf(m: Machine, lock: spinlock): void {
  if (lock.owner !== null) throw new Oops(`BUG: spinlock recursion on ${lock.what}`);
  spin_acquire(m, lock);
}
