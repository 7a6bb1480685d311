// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../boot.ts';
import { EFAULT, EINTR, EINVAL } from '../../errno.ts';
import type { Gen } from '../gen.ts';
import { signal_pending, TASK_INTERRUPTIBLE } from '../sched/core.ts';
import { schedule_timeout } from './sleep_timeout.ts';

/** nanosleep(2) (kernel/time/hrtimer.c: nanosleep()). Leaves out the remaining time of an interrupted sleep. */
export function* sys_nanosleep(m: Machine, rqtp: number): Gen<number> {
  const ts = new Uint8Array(16);
  if ((yield* copy_from_user(m, ts, rqtp, 16)) !== 0) return -EFAULT;
  const v = new DataView(ts.buffer);
  const sec = Number(v.getBigInt64(0, true));
  const nsec = Number(v.getBigInt64(8, true));
  if (sec < 0 || nsec < 0 || nsec > 999999999) return -EINVAL;
  const left = yield* schedule_timeout(m, sec * 1e9 + nsec, TASK_INTERRUPTIBLE);
  return left > 0 && signal_pending(m.current) ? -EINTR : 0;
}
