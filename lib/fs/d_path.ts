// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, ERANGE } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';

/** getcwd(2) (fs/d_path.c: getcwd()). */
export function* sys_getcwd(m: Machine, buf: number, size: number): Gen<number> {
  const bytes = new TextEncoder().encode(`${m.current.pwd}\0`);
  if (bytes.length > size) return -ERANGE;
  return (yield* copy_to_user(m, buf, bytes, bytes.length)) !== 0 ? -EFAULT : bytes.length;
}
