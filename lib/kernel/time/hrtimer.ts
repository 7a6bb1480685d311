// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINTR, EINVAL } from '../../errno.ts';
import type { Gen } from '../gen.ts';
import { signal_pending, TASK_INTERRUPTIBLE } from '../sched/core.ts';
import { schedule_timeout } from './sleep_timeout.ts';

/** nanosleep(2); an interrupted sleep says what is left of it (kernel/time/hrtimer.c: nanosleep()). */
export function* sys_nanosleep(m: Machine, rqtp: number, rmtp = 0): Gen<number> {
  const ts = new Uint8Array(16);
  if ((yield* copy_from_user(m, ts, rqtp, 16)) !== 0) return -EFAULT;
  const v = new DataView(ts.buffer);
  const sec = Number(v.getBigInt64(0, true));
  const nsec = Number(v.getBigInt64(8, true));
  if (sec < 0 || nsec < 0 || nsec > 999999999) return -EINVAL;
  const left = Math.ceil(yield* schedule_timeout(m, sec * 1e9 + nsec, TASK_INTERRUPTIBLE));
  if (left <= 0 || !signal_pending(m.current)) return 0;
  if (rmtp !== 0) {
    v.setBigInt64(0, BigInt(Math.floor(left / 1e9)), true);
    v.setBigInt64(8, BigInt(left % 1e9), true);
    if ((yield* copy_to_user(m, rmtp, ts, 16)) !== 0) return -EFAULT;
  }
  return -EINTR;
}
