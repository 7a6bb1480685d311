// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINVAL, ESRCH } from '../../errno.ts';
import type { Gen } from '../gen.ts';
import { find_task_by_vpid } from '../pid.ts';
import { YIELD } from './core.ts';

/** sched_yield(2): lets the other runnable tasks run (kernel/sched/syscalls.c: sched_yield()). */
export function* sched_yield(m: Machine): Gen<void> {
  if (m.sched.runnable.length > 0 || m.sched.explore) yield YIELD;
}

/** Bytes of a mask of CPUs: upstream's is of longs. */
const CPUMASK_BYTES = 8;

/** sched_getaffinity(2): all CPUs (kernel/sched/syscalls.c: sched_getaffinity()). */
export function* sys_sched_getaffinity(m: Machine, pid: number, len: number, mask: number): Gen<number> {
  if (len < CPUMASK_BYTES || len % 8 !== 0) return -EINVAL;
  if (pid !== 0 && find_task_by_vpid(m, pid) === null) return -ESRCH;
  const bytes = new Uint8Array(new Uint32Array([2 ** m.cpus.length - 1, 0]).buffer);
  return (yield* copy_to_user(m, mask, bytes, CPUMASK_BYTES)) !== 0 ? -EFAULT : CPUMASK_BYTES;
}
