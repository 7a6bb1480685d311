// SPDX-License-Identifier: GPL-2.0-only

import { ENOMEM } from '../../errno.ts';
import { type mm_struct, VM_GROWSDOWN } from '../mm_types.ts';
import { mmap_min_addr, vm_start_gap } from '../mmap/unmapped_area.ts';

/** Returns x modulo a, not negative. NON-KERNEL. */
export function mod(x: number, a: number): number {
  return ((x % a) + a) % a;
}

/** Returns the lowest suitable start at or above addr. NON-KERNEL: unmapped_area() does it in place. */
function aligned_up(addr: number, info: vm_unmapped_area_info): number {
  return addr + mod(info.align_offset - addr, info.align);
}

/** Returns the highest suitable start at or below addr. NON-KERNEL: unmapped_area_topdown() does it in place. */
function aligned_down(addr: number, info: vm_unmapped_area_info): number {
  return addr - mod(addr - info.align_offset, info.align);
}

/**
 * A search for a gap whose start is congruent to align_offset modulo `align` (include/linux/mm.h: struct
 * vm_unmapped_area_info).
 */
export interface vm_unmapped_area_info {
  readonly topdown: boolean;
  readonly length: number;
  readonly low_limit: number;
  readonly high_limit: number;
  /** a power of two (upstream: align_mask + 1) */
  readonly align: number;
  readonly align_offset: number;
}

/** Returns the start of the lowest suitable gap, or -ENOMEM (mm/vma.c: unmapped_area()). */
export function unmapped_area(mm: mm_struct, info: vm_unmapped_area_info): number {
  const length = info.length + info.align - 1;
  const low = Math.max(info.low_limit, mmap_min_addr);
  const vmas = mm.mm_mt;
  for (let i = 0; i <= vmas.length; i++) {
    const start = Math.max(low, i === 0 ? 0 : vmas[i - 1].vm_end);
    const next = vmas[i];
    const end = Math.min(info.high_limit, next === undefined ? Infinity : next.vm_start);
    if (end - start < length) continue;
    const gap = aligned_up(start, info);
    if (next !== undefined && next.vm_flags & VM_GROWSDOWN && vm_start_gap(next) < gap + length - 1) continue;
    return gap;
  }
  return -ENOMEM;
}

/** Returns the start of the highest suitable gap, or -ENOMEM (mm/vma.c: unmapped_area_topdown()). */
export function unmapped_area_topdown(mm: mm_struct, info: vm_unmapped_area_info): number {
  const length = info.length + info.align - 1;
  const low = Math.max(info.low_limit, mmap_min_addr);
  const vmas = mm.mm_mt;
  for (let i = vmas.length; i >= 0; i--) {
    const start = Math.max(low, i === 0 ? 0 : vmas[i - 1].vm_end);
    const next = vmas[i];
    const end = Math.min(info.high_limit, next === undefined ? Infinity : vm_start_gap(next));
    if (end - start < length) continue;
    return aligned_down(end - info.length, info);
  }
  return -ENOMEM;
}
