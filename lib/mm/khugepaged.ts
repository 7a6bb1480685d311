// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { mm_struct, vm_area_struct, vm_fault } from './mm_types.ts';
import type { ptdesc } from './pgtable.ts';
import type { mmu_gather } from './mmu_gather.ts';
import type { page_vma_mapped_walk } from './page_vma_mapped.ts';
import type { PageList } from './page.ts';
import type { file } from '../fs/fs.ts';

import { Unmodelled } from '../unmodelled.ts';

export function hugepage_madvise(m: Machine, vma: vm_area_struct, vm_flags: { val: number }, advice: number): number {
  throw new Unmodelled('hugepage_madvise');
}

export function khugepaged_enter_vma(m: Machine, vma: vm_area_struct, vm_flags: number): void {
  throw new Unmodelled('khugepaged_enter_vma');
}

export function khugepaged_fork(m: Machine, mm: mm_struct, oldmm: mm_struct): void {
  throw new Unmodelled('khugepaged_fork');
}

export function khugepaged_exit(m: Machine, mm: mm_struct): void {
  throw new Unmodelled('khugepaged_exit');
}

export function* madvise_collapse(m: Machine, vma: vm_area_struct, start: number, end: number, lock_dropped: { val: boolean }): Gen<number> {
  throw new Unmodelled('madvise_collapse');
}

