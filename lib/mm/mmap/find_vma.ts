// SPDX-License-Identifier: GPL-2.0-only

import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { first_ending_above, is_data_mapping, is_exec_mapping, is_stack_mapping } from '../vma/vma.ts';

/** Returns the first vma that ends above the address, or null (mm/mmap.c: find_vma()). */
export function find_vma(mm: mm_struct, addr: number): vm_area_struct | null {
  return mm.mm_mt[first_ending_above(mm, addr)] ?? null;
}

/** find_vma() that also returns the vma before (mm/mmap.c: find_vma_prev()). */
export function find_vma_prev(
  mm: mm_struct,
  addr: number,
): { vma: vm_area_struct | null; prev: vm_area_struct | null } {
  const i = first_ending_above(mm, addr);
  return { vma: mm.mm_mt[i] ?? null, prev: mm.mm_mt[i - 1] ?? null };
}

/** Returns the first vma that intersects [start, end), or null (mm/mmap.c: find_vma_intersection()). */
export function find_vma_intersection(mm: mm_struct, start: number, end: number): vm_area_struct | null {
  const vma = find_vma(mm, start);
  return vma !== null && vma.vm_start < end ? vma : null;
}

/** Adds npages, which may be negative, to the counters for these flags (mm/mmap.c: vm_stat_account()). */
export function vm_stat_account(mm: mm_struct, flags: number, npages: number): void {
  mm.total_vm += npages;
  if (is_exec_mapping(flags)) mm.exec_vm += npages;
  else if (is_stack_mapping(flags)) mm.stack_vm += npages;
  else if (is_data_mapping(flags)) mm.data_vm += npages;
}
