// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  pgd_index,
  PGDIR_SIZE,
  pmd_addr_end,
  pmd_index,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  type ptdesc,
  pte_index,
  pte_none,
  pud_addr_end,
  pud_index,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../machine.ts';
import { EINVAL, ENOMEM } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { Unmodelled } from '../unmodelled.ts';
import { split_huge_pmd } from './huge_memory/split_pmd.ts';
import { hstate_vma, huge_page_size } from './hugetlb/pool.ts';
import { hugetlb_vma_lock_read, hugetlb_vma_unlock_read } from './hugetlb/resv.ts';
import { huge_pte_index, huge_pte_offset } from './hugetlb/vma.ts';
import { pmd_alloc, pte_alloc, pud_alloc } from './memory/pgalloc.ts';
import { is_vm_hugetlb_page, type mm_struct, type vm_area_struct, VM_PFNMAP } from './mm_types.ts';
import { find_vma } from './mmap/find_vma.ts';
import {
  mmap_assert_locked,
  mmap_assert_write_locked,
  vma_assert_locked,
  vma_assert_write_locked,
  vma_start_write,
} from './mmap_lock.ts';
import { pte_offset_map_lock } from './pgtable-generic.ts';
import { PAGE_SIZE } from './physmem.ts';

// Which locks a walk takes or asserts (include/linux/pagewalk.h: enum page_walk_lock).
export const PGWALK_RDLOCK = 0;
const PGWALK_WRLOCK = 1;
const PGWALK_WRLOCK_VERIFY = 2;
export const PGWALK_VMA_RDLOCK_VERIFY = 3;

// What a pud_entry or pmd_entry callback asks the walk to do next (include/linux/pagewalk.h: enum page_walk_action).
const ACTION_SUBTREE = 0;
export const ACTION_CONTINUE = 1;
export const ACTION_AGAIN = 2;

/**
 * Callbacks of a walk: 0 goes on, any other value ends the walk and is returned (include/linux/pagewalk.h: struct
 * mm_walk_ops). hugetlb_entry takes the huge page's size in bytes instead of upstream's address mask.
 */
export interface mm_walk_ops<T = unknown> {
  pud_entry?: (m: Machine, pudt: ptdesc, pi: number, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pmd_entry?: (m: Machine, pmdt: ptdesc, pi: number, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pte_entry?: (m: Machine, pt: ptdesc, i: number, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pte_hole?: (m: Machine, addr: number, next: number, depth: number, walk: mm_walk<T>) => Gen<number>;
  hugetlb_entry?: (
    m: Machine,
    pt: ptdesc,
    i: number,
    size: number,
    addr: number,
    next: number,
    walk: mm_walk<T>,
  ) => Gen<number>;
  /** returns 1 to skip the vma */
  test_walk?: (m: Machine, addr: number, next: number, walk: mm_walk<T>) => Gen<number>;
  pre_vma?: (m: Machine, start: number, end: number, walk: mm_walk<T>) => Gen<number>;
  post_vma?: (m: Machine, walk: mm_walk<T>) => void;
  /** sets the value for an empty pte; missing tables are allocated */
  install_pte?: (m: Machine, addr: number, next: number, ptep: { pte: number }, walk: mm_walk<T>) => number;
  /** PGWALK_* */
  readonly walk_lock: number;
}

/** State of a walk, passed to its callbacks (include/linux/pagewalk.h: struct mm_walk). */
export class mm_walk<T = unknown> {
  readonly ops: mm_walk_ops<T>;
  readonly mm: mm_struct;
  /** null outside any vma */
  vma: vm_area_struct | null;
  /** ACTION_* */
  action = ACTION_SUBTREE;
  readonly private: T;
  constructor(ops: mm_walk_ops<T>, mm: mm_struct, vma: vm_area_struct | null, priv: T) {
    this.ops = ops;
    this.mm = mm;
    this.vma = vma;
    this.private = priv;
  }
}

/** mm/pagewalk.c: walk_pte_range(), mm/pagewalk.c: walk_pte_range_inner() */
function* walk_pte_range<T>(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  end: number,
  walk: mm_walk<T>,
): Gen<number> {
  const ops = walk.ops;
  const pt = yield* pte_offset_map_lock(m, walk.mm, pmdt, pi, addr);
  if (pt === null) {
    walk.action = ACTION_AGAIN;
    return 0;
  }
  let err = 0;
  for (; addr < end && !err; addr += PAGE_SIZE) {
    const i = pte_index(addr);
    if (ops.install_pte !== undefined && pte_none(pt.entry[i])) {
      const ptep = { pte: 0 };
      err = ops.install_pte(m, addr, addr + PAGE_SIZE, ptep, walk);
      if (!err) set_pte_at(m, walk.mm, addr, pt, i, ptep.pte);
    } else if (ops.pte_entry !== undefined) {
      err = yield* ops.pte_entry(m, pt, i, addr, addr + PAGE_SIZE, walk);
    }
  }
  pte_unmap_unlock(m, pt);
  return err;
}

/** mm/pagewalk.c: walk_pmd_range() */
function* walk_pmd_range<T>(m: Machine, pmdt: ptdesc, addr: number, end: number, walk: mm_walk<T>): Gen<number> {
  const ops = walk.ops;
  const has_handler = ops.pte_entry !== undefined;
  const has_install = ops.install_pte !== undefined;
  while (addr !== end) {
    const next = pmd_addr_end(addr, end);
    const pi = pmd_index(addr);
    walk.action = ACTION_SUBTREE;
    let err = 0;
    if (pmd_none(pmdt.entry[pi])) {
      if (has_install) err = yield* pte_alloc(m, walk.mm, pmdt, pi);
      else if (ops.pte_hole !== undefined) err = yield* ops.pte_hole(m, addr, next, 3, walk);
      if (err) return err;
      if (!has_install) {
        addr = next;
        continue;
      }
    }
    if (ops.pmd_entry !== undefined) err = yield* ops.pmd_entry(m, pmdt, pi, addr, next, walk);
    if (err) return err;
    if (walk.action === (ACTION_AGAIN as number)) continue;
    const pmd = pmdt.entry[pi];
    const descend =
      walk.action === ACTION_SUBTREE && (has_handler || (has_install && !(pmd_present(pmd) && pmd_trans_huge(pmd))));
    if (descend) {
      yield* split_huge_pmd(m, walk.vma as vm_area_struct, pmdt, pi, addr);
      err = yield* walk_pte_range(m, pmdt, pi, addr, next, walk);
      if (err) return err;
      if (walk.action === (ACTION_AGAIN as number)) continue;
    }
    addr = next;
  }
  return 0;
}

/** mm/pagewalk.c: walk_pud_range() */
function* walk_pud_range<T>(m: Machine, pudt: ptdesc, addr: number, end: number, walk: mm_walk<T>): Gen<number> {
  const ops = walk.ops;
  const has_handler = ops.pmd_entry !== undefined || ops.pte_entry !== undefined;
  const has_install = ops.install_pte !== undefined;
  while (addr !== end) {
    const next = pud_addr_end(addr, end);
    const ui = pud_index(addr);
    walk.action = ACTION_SUBTREE;
    let err = 0;
    if (pudt.entry[ui] === 0) {
      if (has_install) err = (yield* pmd_alloc(m, walk.mm, pudt, ui, addr)) === null ? -ENOMEM : 0;
      else if (ops.pte_hole !== undefined) err = yield* ops.pte_hole(m, addr, next, 2, walk);
      if (err) return err;
      if (!has_install) {
        addr = next;
        continue;
      }
    }
    if (ops.pud_entry !== undefined) err = yield* ops.pud_entry(m, pudt, ui, addr, next, walk);
    if (err) return err;
    if (walk.action === (ACTION_AGAIN as number)) continue;
    if (walk.action === ACTION_SUBTREE && (has_handler || has_install)) {
      const pmdt = (pudt.child as (ptdesc | null)[])[ui] ?? null;
      if (pmdt === null) {
        if (pudt.entry[ui] !== 0) throw new Unmodelled('walk_pud_range: huge puds');
        continue;
      }
      err = yield* walk_pmd_range(m, pmdt, addr, next, walk);
      if (err) return err;
    }
    addr = next;
  }
  return 0;
}

/** Also does walk_p4d_range(): four-level tables fold the p4d (mm/pagewalk.c: walk_pgd_range()). */
function* walk_pgd_range<T>(m: Machine, addr: number, end: number, walk: mm_walk<T>): Gen<number> {
  const ops = walk.ops;
  const pgd = walk.mm.pgd;
  const has_install = ops.install_pte !== undefined;
  const has_handler = ops.pud_entry !== undefined || ops.pmd_entry !== undefined || ops.pte_entry !== undefined;
  for (let next: number; addr !== end; addr = next) {
    next = Math.min(ALIGN_DOWN(addr, PGDIR_SIZE) + PGDIR_SIZE, end);
    const gi = pgd_index(addr);
    let pudt = (pgd.child as (ptdesc | null)[])[gi] ?? null;
    let err = 0;
    if (pudt === null) {
      if (has_install) {
        pudt = yield* pud_alloc(m, walk.mm, pgd, gi, addr);
        if (pudt === null) return -ENOMEM;
      } else {
        if (ops.pte_hole !== undefined) err = yield* ops.pte_hole(m, addr, next, 0, walk);
        if (err) return err;
        continue;
      }
    }
    if (has_handler || has_install) err = yield* walk_pud_range(m, pudt, addr, next, walk);
    if (err) return err;
  }
  return 0;
}

/** mm/pagewalk.c: walk_hugetlb_range() */
function* walk_hugetlb_range<T>(m: Machine, addr: number, end: number, walk: mm_walk<T>): Gen<number> {
  const vma = walk.vma as vm_area_struct;
  const ops = walk.ops;
  const h = hstate_vma(m, vma);
  const sz = huge_page_size(h);
  let err = 0;
  yield* hugetlb_vma_lock_read(m, vma);
  for (let next: number; addr !== end && !err; addr = next) {
    next = Math.min(ALIGN_DOWN(addr, sz) + sz, end);
    const start = ALIGN_DOWN(addr, sz);
    const pt = huge_pte_offset(m, walk.mm, start, sz);
    if (pt !== null) {
      if (ops.hugetlb_entry !== undefined)
        err = yield* ops.hugetlb_entry(m, pt, huge_pte_index(h, start), sz, addr, next, walk);
    } else if (ops.pte_hole !== undefined) {
      err = yield* ops.pte_hole(m, addr, next, -1, walk);
    }
  }
  hugetlb_vma_unlock_read(m, vma);
  return err;
}

/** Returns 0 to walk the vma, 1 to skip it, or -errno (mm/pagewalk.c: walk_page_test()). */
function* walk_page_test<T>(m: Machine, start: number, end: number, walk: mm_walk<T>): Gen<number> {
  const ops = walk.ops;
  if (ops.test_walk !== undefined) return yield* ops.test_walk(m, start, end, walk);
  if ((walk.vma as vm_area_struct).vm_flags & VM_PFNMAP) {
    const err = ops.pte_hole === undefined ? 1 : yield* ops.pte_hole(m, start, end, -1, walk);
    return err || 1;
  }
  return 0;
}

/** mm/pagewalk.c: __walk_page_range() */
function* __walk_page_range<T>(m: Machine, start: number, end: number, walk: mm_walk<T>): Gen<number> {
  const ops = walk.ops;
  const hugetlb = is_vm_hugetlb_page(walk.vma as vm_area_struct);
  if (ops.install_pte !== undefined && hugetlb) return -EINVAL;
  if (ops.pre_vma !== undefined) {
    const err = yield* ops.pre_vma(m, start, end, walk);
    if (err) return err;
  }
  let err = 0;
  if (!hugetlb) err = yield* walk_pgd_range(m, start, end, walk);
  else if (ops.hugetlb_entry !== undefined) err = yield* walk_hugetlb_range(m, start, end, walk);
  ops.post_vma?.(m, walk);
  return err;
}

/** mm/pagewalk.c: process_mm_walk_lock() */
function process_mm_walk_lock(mm: mm_struct, walk_lock: number): void {
  if (walk_lock === PGWALK_RDLOCK) mmap_assert_locked(mm);
  else if (walk_lock !== PGWALK_VMA_RDLOCK_VERIFY) mmap_assert_write_locked(mm);
}

/** mm/pagewalk.c: process_vma_walk_lock() */
function* process_vma_walk_lock(m: Machine, vma: vm_area_struct, walk_lock: number): Gen<void> {
  if (walk_lock === PGWALK_WRLOCK) yield* vma_start_write(m, vma);
  else if (walk_lock === PGWALK_WRLOCK_VERIFY) vma_assert_write_locked(vma);
  else if (walk_lock === PGWALK_VMA_RDLOCK_VERIFY) vma_assert_locked(vma);
}

/** walk_page_range() for core mm, which may install entries (mm/pagewalk.c: walk_page_range_mm_unsafe()). */
export function* walk_page_range_mm_unsafe<T>(
  m: Machine,
  mm: mm_struct,
  start: number,
  end: number,
  ops: mm_walk_ops<T>,
  priv: T,
): Gen<number> {
  const walk = new mm_walk(ops, mm, null, priv);
  if (start >= end) return -EINVAL;
  process_mm_walk_lock(mm, ops.walk_lock);
  let err = 0;
  let vma = find_vma(mm, start);
  for (let next: number; start < end; start = next) {
    if (vma === null || start < vma.vm_start) {
      walk.vma = null;
      next = vma === null ? end : Math.min(end, vma.vm_start);
      if (ops.pte_hole !== undefined) err = yield* ops.pte_hole(m, start, next, -1, walk);
    } else {
      yield* process_vma_walk_lock(m, vma, ops.walk_lock);
      walk.vma = vma;
      next = Math.min(end, vma.vm_end);
      vma = find_vma(mm, vma.vm_end);
      err = yield* walk_page_test(m, start, next, walk);
      if (err > 0) {
        err = 0;
        continue;
      }
      if (err === 0) err = yield* __walk_page_range(m, start, next, walk);
    }
    if (err) break;
  }
  return err;
}

/**
 * Walks the page tables of [start, end) vma by vma and calls pte_hole where there are none. Returns 0 or the value with
 * which a callback ended the walk (mm/pagewalk.c: walk_page_range()).
 */
export function* walk_page_range<T>(
  m: Machine,
  mm: mm_struct,
  start: number,
  end: number,
  ops: mm_walk_ops<T>,
  priv: T,
): Gen<number> {
  if (ops.install_pte !== undefined) return -EINVAL;
  return yield* walk_page_range_mm_unsafe(m, mm, start, end, ops, priv);
}

/** walk_page_range_vma() for core mm, which may install entries (mm/pagewalk.c: walk_page_range_vma_unsafe()). */
export function* walk_page_range_vma_unsafe<T>(
  m: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  ops: mm_walk_ops<T>,
  priv: T,
): Gen<number> {
  if (start >= end || start < vma.vm_start || end > vma.vm_end) return -EINVAL;
  process_mm_walk_lock(vma.vm_mm, ops.walk_lock);
  yield* process_vma_walk_lock(m, vma, ops.walk_lock);
  return yield* __walk_page_range(m, start, end, new mm_walk(ops, vma.vm_mm, vma, priv));
}

/** Walks part of one vma, without test_walk (mm/pagewalk.c: walk_page_range_vma()). */
export function* walk_page_range_vma<T>(
  m: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  ops: mm_walk_ops<T>,
  priv: T,
): Gen<number> {
  if (ops.install_pte !== undefined) return -EINVAL;
  return yield* walk_page_range_vma_unsafe(m, vma, start, end, ops, priv);
}

/** Walks one vma (mm/pagewalk.c: walk_page_vma()). */
export function* walk_page_vma<T>(m: Machine, vma: vm_area_struct, ops: mm_walk_ops<T>, priv: T): Gen<number> {
  return yield* walk_page_range_vma(m, vma, vma.vm_start, vma.vm_end, ops, priv);
}
