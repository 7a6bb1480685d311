// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../boot.ts';
import type { Gen } from '../gen.ts';
import { YIELD } from './core.ts';

/** Gives the CPU up to the other runnable tasks (kernel/sched/syscalls.c: yield()). */
export function* sched_yield(m: Machine): Gen<void> {
  if (m.sched.runnable.length > 0 || m.sched.explore) yield YIELD;
}
