// SPDX-License-Identifier: GPL-2.0-only

import { access_ok, left_in_page, translate } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../boot.ts';
import type { Gen } from '../../kernel/gen.ts';

/**
 * Reads or writes one byte of each page. Returns the number of bytes from the first page that faults. NON-KERNEL: the
 * common part of upstream's fault_in_readable() and fault_in_writeable().
 */
function* fault_in(m: Machine, uaddr: number, size: number, write: boolean): Gen<number> {
  if (!access_ok(uaddr, size)) return size;
  const end = uaddr + size;
  for (let addr = uaddr; addr < end; addr += left_in_page(addr)) {
    if ((yield* translate(m, addr, write, false)) < 0) return end - addr;
  }
  return 0;
}

/** Faults user memory in for reading. Returns the number of bytes not faulted in (mm/gup.c: fault_in_readable()). */
export function* fault_in_readable(m: Machine, uaddr: number, size: number): Gen<number> {
  return yield* fault_in(m, uaddr, size, false);
}

/** Faults user memory in for writing. Returns the number of bytes not faulted in (mm/gup.c: fault_in_writeable()). */
export function* fault_in_writeable(m: Machine, uaddr: number, size: number): Gen<number> {
  return yield* fault_in(m, uaddr, size, true);
}
