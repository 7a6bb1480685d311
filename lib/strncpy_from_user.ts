// SPDX-License-Identifier: GPL-2.0-only

import { access_ok, at_of, cpu_of, left_in_page, translate, u8_of } from './arch/x86/mm/uaccess.ts';
import type { Machine } from './machine.ts';
import { EFAULT } from './errno.ts';
import type { Gen } from './kernel/gen.ts';

/**
 * Returns a string of at most `count` bytes of user memory, without its NUL, or -EFAULT (lib/strncpy_from_user.c:
 * strncpy_from_user()).
 */
export function* strncpy_from_user(m: Machine, from: number, count: number): Gen<string | number> {
  const bytes: number[] = [];
  while (bytes.length < count) {
    const addr = from + bytes.length;
    if (!access_ok(addr, 1)) return -EFAULT;
    const i = yield* translate(m, addr, false, false);
    if (i < 0) return -EFAULT;
    const cpu = cpu_of(m);
    const at = at_of(cpu, i, addr);
    const end = at + Math.min(left_in_page(addr), count - bytes.length);
    const u8 = u8_of(cpu, i);
    for (let k = at; k < end; k++) {
      if (u8[k] === 0) return new TextDecoder().decode(new Uint8Array(bytes));
      bytes.push(u8[k]);
    }
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}
