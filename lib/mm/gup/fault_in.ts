// SPDX-License-Identifier: GPL-2.0-only

import { access_ok, left_in_page, translate } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../boot.ts';
import type { Gen } from '../../kernel/gen.ts';

/** Touches one byte of each page; returns the number of bytes from the first page that faults on. NON-KERNEL. */
function* fault_in(m: Machine, uaddr: number, size: number, write: boolean): Gen<number> {
  if (!access_ok(uaddr, size)) return size;
  const end = uaddr + size;
  for (let addr = uaddr; addr < end; addr += left_in_page(addr)) {
    if ((yield* translate(m, addr, write, false)) < 0) return end - addr;
  }
  return 0;
}

/**
 * Makes user memory readable by touching each page; answers the bytes that it could not reach (mm/gup.c:
 * fault_in_readable()).
 */
export function* fault_in_readable(m: Machine, uaddr: number, size: number): Gen<number> {
  return yield* fault_in(m, uaddr, size, false);
}

/**
 * Makes user memory writable by touching each page; answers the bytes that it could not reach (mm/gup.c:
 * fault_in_writeable()).
 */
export function* fault_in_writeable(m: Machine, uaddr: number, size: number): Gen<number> {
  return yield* fault_in(m, uaddr, size, true);
}
