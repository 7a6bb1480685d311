// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';

const GRND_NONBLOCK = 1;
const GRND_RANDOM = 2;
const GRND_INSECURE = 4;
const CHUNK = 4096;

/** getrandom(2), of the machine's own chance, so that a run repeats (drivers/char/random.c: getrandom()). */
export function* sys_getrandom(m: Machine, ubuf: number, len: number, flags: number): Gen<number> {
  if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) return -EINVAL;
  if ((flags & (GRND_INSECURE | GRND_RANDOM)) === (GRND_INSECURE | GRND_RANDOM)) return -EINVAL;
  let done = 0;
  while (done < len) {
    const n = Math.min(CHUNK, len - done);
    const bytes = Uint8Array.from({ length: n }, () => m.sched.strategy.random_u32());
    const left = yield* copy_to_user(m, ubuf + done, bytes, n);
    done += n - left;
    if (left > 0) return done > 0 ? done : -EFAULT;
  }
  return done;
}
