// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT } from '../../errno.ts';
import type { Gen } from '../gen.ts';

/** gettimeofday(2); the time zone is UTC (kernel/time/time.c: gettimeofday()). */
export function* sys_gettimeofday(m: Machine, tv: number, tz: number): Gen<number> {
  const us = Math.floor(m.wall_clock() / 1000);
  const sec = Math.floor(us / 1e6);
  const bytes = new Uint8Array(new BigInt64Array([BigInt(sec), BigInt(us - sec * 1e6)]).buffer);
  if (tv !== 0 && (yield* copy_to_user(m, tv, bytes, 16)) !== 0) return -EFAULT;
  if (tz !== 0 && (yield* copy_to_user(m, tz, new Uint8Array(8), 8)) !== 0) return -EFAULT;
  return 0;
}

/** time(2) (kernel/time/time.c: time()). */
export function* sys_time(m: Machine, tloc: number): Gen<number> {
  const sec = Math.floor(m.wall_clock() / 1e9);
  const bytes = new Uint8Array(new BigInt64Array([BigInt(sec)]).buffer);
  return tloc !== 0 && (yield* copy_to_user(m, tloc, bytes, 8)) !== 0 ? -EFAULT : sec;
}
