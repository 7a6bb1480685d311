// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { Gen } from '../gen.ts';
import { wait_event, wait_queue_head, wake_up } from './wait.ts';

/** An event that happens once (include/linux/completion.h: struct completion). */
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

/**
 * Signals the completion and wakes its waiter (kernel/sched/completion.c: complete()). Leaves out the count: a
 * completion here has one waiter and is not reused.
 */
export function complete(m: Machine, x: completion): void {
  x.done = true;
  wake_up(m, x.wq);
}
