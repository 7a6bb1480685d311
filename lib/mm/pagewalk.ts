// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { mm_struct, vm_area_struct } from './mm_types.ts';
import type { ptdesc } from './pgtable.ts';
import { Unmodelled } from '../unmodelled.ts';

/** Callbacks of a walk (include/linux/pagewalk.h: struct mm_walk_ops). */
export interface mm_walk_ops<T = unknown> {
  pud_entry?: (m: Machine, pudt: ptdesc, pi: number, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pmd_entry?: (m: Machine, pmdt: ptdesc, pi: number, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pte_entry?: (m: Machine, pt: ptdesc, i: number, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pte_hole?: (m: Machine, addr: number, next: number, depth: number, walk: mm_walk<T>) => Gen<number>;
  hugetlb_entry?: (m: Machine, pt: ptdesc, i: number, hmask: number, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  test_walk?: (m: Machine, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pre_vma?: (m: Machine, start: number, end: number, walk: mm_walk<T>) => Gen<number>;
  post_vma?: (m: Machine, walk: mm_walk<T>) => void;
  install_pte?: (m: Machine, addr: number, next: number, pt: ptdesc, i: number, walk: mm_walk<T>) => Gen<number>;
  readonly walk_lock: number;
}
export const PGWALK_RDLOCK = 0;
export const PGWALK_WRLOCK = 1;
export const PGWALK_WRLOCK_VERIFY = 2;
export const PGWALK_VMA_RDLOCK_VERIFY = 3;
export const ACTION_SUBTREE = 0;
export const ACTION_CONTINUE = 1;
export const ACTION_AGAIN = 2;
export class mm_walk<T = unknown> { readonly ops: mm_walk_ops<T>; readonly mm: mm_struct; vma: vm_area_struct | null; action = 0; readonly private: T; constructor(ops: mm_walk_ops<T>, mm: mm_struct, vma: vm_area_struct | null, priv: T) { this.ops = ops; this.mm = mm; this.vma = vma; this.private = priv; } }
export function* walk_page_range<T>(m: Machine, mm: mm_struct, start: number, end: number, ops: mm_walk_ops<T>, priv: T): Gen<number> { throw new Unmodelled('walk_page_range'); }
export function* walk_page_range_mm<T>(m: Machine, mm: mm_struct, start: number, end: number, ops: mm_walk_ops<T>, priv: T): Gen<number> { throw new Unmodelled('walk_page_range_mm'); }
export function* walk_page_range_vma<T>(m: Machine, vma: vm_area_struct, start: number, end: number, ops: mm_walk_ops<T>, priv: T): Gen<number> { throw new Unmodelled('walk_page_range_vma'); }
export function* walk_page_vma<T>(m: Machine, vma: vm_area_struct, ops: mm_walk_ops<T>, priv: T): Gen<number> { throw new Unmodelled('walk_page_vma'); }
