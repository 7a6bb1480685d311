// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINTR, EINVAL } from '../../errno.ts';
import { Unmodelled } from '../../unmodelled.ts';
import type { Gen } from '../gen.ts';
import { signal_pending, TASK_INTERRUPTIBLE } from '../sched/core.ts';
import { schedule_timeout } from './sleep_timeout.ts';

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_PROCESS_CPUTIME_ID = 2;
const CLOCK_THREAD_CPUTIME_ID = 3;
const CLOCK_MONOTONIC_RAW = 4;
const CLOCK_REALTIME_COARSE = 5;
const CLOCK_MONOTONIC_COARSE = 6;
const CLOCK_BOOTTIME = 7;
const CLOCK_TAI = 11;
const MAX_CLOCKS = 16;
const TIMER_ABSTIME = 1;
/** Resolution of the coarse clocks: a tick at CONFIG_HZ=250. */
const TICK_NS = 4_000_000;

/** Returns the bytes of a struct timespec. NON-KERNEL. */
export function timespec_bytes(ns: number): Uint8Array {
  const sec = Math.floor(ns / 1e9);
  return new Uint8Array(new BigInt64Array([BigInt(sec), BigInt(Math.floor(ns - sec * 1e9))]).buffer);
}

/** Returns a clock's time in ns, or -EINVAL. NON-KERNEL: the clock_get_timespec() of each k_clock. */
function clock_now(m: Machine, which: number): number {
  switch (which) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
      return m.wall_clock();
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
      return m.sched.now;
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
      throw new Unmodelled(`kernel/time/posix-cpu-timers.c: clock ${which}`);
    default:
      if (which >= MAX_CLOCKS) return -EINVAL;
      throw new Unmodelled(`kernel/time/posix-timers.c: clock ${which}`);
  }
}

/** clock_gettime(2) (kernel/time/posix-timers.c: clock_gettime()). */
export function* sys_clock_gettime(m: Machine, which: number, tp: number): Gen<number> {
  const ns = clock_now(m, which);
  if (ns < 0) return ns;
  return (yield* copy_to_user(m, tp, timespec_bytes(ns), 16)) !== 0 ? -EFAULT : 0;
}

/** clock_getres(2) (kernel/time/posix-timers.c: clock_getres()). */
export function* sys_clock_getres(m: Machine, which: number, tp: number): Gen<number> {
  const ns = clock_now(m, which);
  if (ns < 0) return ns;
  const coarse = which === CLOCK_REALTIME_COARSE || which === CLOCK_MONOTONIC_COARSE;
  if (tp === 0) return 0;
  return (yield* copy_to_user(m, tp, timespec_bytes(coarse ? TICK_NS : 1), 16)) !== 0 ? -EFAULT : 0;
}

/** clock_nanosleep(2) (kernel/time/posix-timers.c: clock_nanosleep()). */
export function* sys_clock_nanosleep(
  m: Machine,
  which: number,
  flags: number,
  rqtp: number,
  rmtp: number,
): Gen<number> {
  const now = clock_now(m, which);
  if (now < 0) return now;
  const ts = new Uint8Array(16);
  if ((yield* copy_from_user(m, ts, rqtp, 16)) !== 0) return -EFAULT;
  const v = new DataView(ts.buffer);
  const sec = Number(v.getBigInt64(0, true));
  const nsec = Number(v.getBigInt64(8, true));
  if (sec < 0 || nsec < 0 || nsec > 999999999) return -EINVAL;
  const absolute = (flags & TIMER_ABSTIME) !== 0;
  const ns = sec * 1e9 + nsec - (absolute ? now : 0);
  if (ns <= 0) return 0;
  const left = yield* schedule_timeout(m, ns, TASK_INTERRUPTIBLE);
  if (left <= 0 || !signal_pending(m.current)) return 0;
  if (rmtp !== 0 && !absolute && (yield* copy_to_user(m, rmtp, timespec_bytes(left), 16)) !== 0) return -EFAULT;
  return -EINTR;
}
