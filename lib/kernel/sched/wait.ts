// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { ERESTARTSYS } from '../../errno.ts';
import type { Gen } from '../gen.ts';
import {
  schedule,
  signal_pending,
  TASK_INTERRUPTIBLE,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
  type WaitPoint,
} from './core.ts';

/**
 * Removes the last occurrence of `item`. Returns false if there is none. Locks are mostly released in reverse order, so
 * the last element is tried first. NON-KERNEL.
 */
export function take_out<T>(a: T[], item: T): boolean {
  if (a[a.length - 1] === item) {
    a.pop();
    return true;
  }
  const i = a.lastIndexOf(item);
  if (i >= 0) a.splice(i, 1);
  return i >= 0;
}

/** Removes a lock from the list of those that the task holds. NON-KERNEL. */
export function forget(t: task_struct, lock: WaitPoint): void {
  take_out(t.held_locks, lock);
}

/** A queue of waiting tasks (include/linux/wait.h: struct wait_queue_head). */
export class wait_queue_head implements WaitPoint {
  readonly what: string;
  readonly tasks: task_struct[] = [];
  constructor(what: string) {
    this.what = what;
  }
}

/** Wakes all waiters, which test their condition themselves (kernel/sched/wait.c: __wake_up()). */
export function wake_up(m: Machine, wq: wait_queue_head): void {
  const tasks = wq.tasks.splice(0);
  for (const t of tasks) m.sched.wake_up_process(t);
}

/**
 * Sleeps once on the queue in the given state (kernel/sched/wait.c: prepare_to_wait()). Also upstream's finish_wait().
 */
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

/**
 * Sleeps until `cond()` holds. Returns 0, or -ERESTARTSYS for a signal
 * (include/linux/wait.h: wait_event_interruptible()).
 */
export function* wait_event_interruptible(m: Machine, wq: wait_queue_head, cond: () => boolean): Gen<number> {
  while (!cond()) {
    if (signal_pending(m.current)) return -ERESTARTSYS;
    yield* wait_on(m, wq, TASK_INTERRUPTIBLE);
  }
  return 0;
}
