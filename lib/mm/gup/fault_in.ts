// SPDX-License-Identifier: GPL-2.0-only

import { access_ok, left_in_page, translate } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';

/**
 * Faults user memory in for reading by one byte of each page. Returns the number of bytes not faulted in
 * (mm/gup.c: fault_in_readable()).
 */
export function* fault_in_readable(m: Machine, uaddr: number, size: number): Gen<number> {
  if (!access_ok(uaddr, size)) return size;
  const end = uaddr + size;
  for (let addr = uaddr; addr < end; addr += left_in_page(addr)) {
    if ((yield* translate(m, addr, false, false)) < 0) return end - addr;
  }
  return 0;
}
