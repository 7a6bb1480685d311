// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../boot.ts';
import type { Gen } from '../gen.ts';
import { YIELD } from './core.ts';

/** sched_yield(2): lets the other runnable tasks run (kernel/sched/syscalls.c: sched_yield()). */
export function* sched_yield(m: Machine): Gen<void> {
  if (m.sched.runnable.length > 0 || m.sched.explore) yield YIELD;
}
