// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { ENOMEM } from '../errno.ts';
import { printk } from '../kernel/printk.ts';
import type { mm_struct } from './mm_types.ts';

/** Gives back pages that security_vm_enough_memory_mm() charged (include/linux/mman.h: vm_unacct_memory()). */
export function vm_unacct_memory(m: Machine, pages: number): void {
  m.vm_committed_as -= pages;
}

/**
 * Charges pages of private writable memory; -ENOMEM if one request is more than all memory
 * (mm/util.c: __vm_enough_memory()). Overcommit is the default heuristic; there is no swap.
 */
export function security_vm_enough_memory_mm(m: Machine, _mm: mm_struct, pages: number): number {
  m.vm_committed_as += pages;
  if (pages <= m.zone.managed_pages) return 0;
  printk(m, `__vm_enough_memory: pid: ${m.current.pid}, comm: ${m.current.comm}, bytes: ${pages * 4096} not enough memory for the allocation`);
  vm_unacct_memory(m, pages);
  return -ENOMEM;
}
