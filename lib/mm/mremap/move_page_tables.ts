// SPDX-License-Identifier: GPL-2.0-only
// The part of mm/mremap.c that moves page tables.

import {
  pmd_clear,
  pmd_lock,
  pmd_off,
  pmd_populate,
  pte_unmap_unlock,
  pud_clear,
  pud_lock,
  pud_populate,
  pud_table,
} from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  pgd_index,
  pmd_index,
  pmd_is_table,
  pmd_none,
  PMD_SIZE,
  type ptdesc,
  pte_clear_uffd,
  pte_index,
  pte_none,
  pte_present,
  pud_index,
  PUD_SIZE,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { get_and_clear_ptes, pte_clear, set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import { flush_tlb_range } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched } from '../../kernel/sched/core.ts';
import { move_huge_pmd } from '../huge_memory/move.ts';
import { split_huge_pmd } from '../huge_memory/split_pmd.ts';
import { pmd_is_huge } from '../huge_memory/sysfs.ts';
import { move_hugetlb_page_tables } from '../hugetlb/vma.ts';
import { pte_is_uffd_wp_marker } from '../leafops.ts';
import { pmd_alloc, pte_alloc, pud_alloc } from '../memory/pgalloc.ts';
import { is_vm_hugetlb_page, type vm_area_struct } from '../mm_types.ts';
import { find_vma_intersection } from '../mmap/find_vma.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_UNMAP,
} from '../mmu_notifier.ts';
import { pte_offset_map, pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { anon_vma_lock_write, anon_vma_unlock_write } from '../rmap/anon_vma.ts';
import { flush_tlb_batched_pending } from '../rmap/tlb_batch.ts';
import { vma_has_uffd_without_event_remap } from '../userfaultfd/userfaultfd.ts';

/**
 * State of a move of page tables (mm/internal.h: struct pagetable_move_control). Leaves out the move of exec's stack.
 */
export class pagetable_move_control {
  readonly old: vm_area_struct;
  readonly new: vm_area_struct;
  old_addr: number;
  /** exclusive */
  readonly old_end: number;
  new_addr: number;
  readonly len_in: number;
  need_rmap_locks = false;
  constructor(old: vm_area_struct, new_vma: vm_area_struct, old_addr: number, new_addr: number, len: number) {
    this.old = old;
    this.new = new_vma;
    this.old_addr = old_addr;
    this.old_end = old_addr + len;
    this.new_addr = new_addr;
    this.len_in = len;
  }
}

/** Excludes rmap walks of the vma's file and anonymous pages (mm/mremap.c: take_rmap_locks()). */
function* take_rmap_locks(m: Machine, vma: vm_area_struct): Gen<void> {
  const mapping = vma.vm_file?.f_mapping ?? null;
  if (mapping !== null) yield* down_write(m, mapping.i_mmap_rwsem);
  if (vma.anon_vma !== null) yield* anon_vma_lock_write(m, vma.anon_vma);
}

/** mm/mremap.c: drop_rmap_locks() */
function drop_rmap_locks(m: Machine, vma: vm_area_struct): void {
  if (vma.anon_vma !== null) anon_vma_unlock_write(m, vma.anon_vma);
  const mapping = vma.vm_file?.f_mapping ?? null;
  if (mapping !== null) up_write(m, mapping.i_mmap_rwsem);
}

/**
 * Moves the ptes of [old_addr, old_addr+extent), which is within one pte table on each side. Returns -EAGAIN if a table
 * is missing (mm/mremap.c: move_ptes()).
 */
function* move_ptes(
  m: Machine,
  pmc: pagetable_move_control,
  extent: number,
  old_pmdt: ptdesc,
  old_pi: number,
  new_pmdt: ptdesc,
  new_pi: number,
): Gen<number> {
  const vma = pmc.old;
  const mm = vma.vm_mm;
  const need_clear_uffd_wp = vma_has_uffd_without_event_remap(vma);
  const old_start = pmc.old_addr;
  const old_end = old_start + extent;
  let err = 0;
  let force_flush = false;
  if (pmc.need_rmap_locks) yield* take_rmap_locks(m, vma);
  const old_pt = yield* pte_offset_map_lock(m, mm, old_pmdt, old_pi, old_start);
  const new_pt = old_pt === null ? null : pte_offset_map(m, new_pmdt, new_pi);
  if (old_pt === null) {
    err = -EAGAIN;
  } else if (new_pt === null) {
    pte_unmap_unlock(m, old_pt);
    err = -EAGAIN;
  } else {
    if (new_pt !== old_pt) yield* spin_lock(m, new_pt.ptl);
    flush_tlb_batched_pending(m, mm);
    for (
      let old_addr = old_start, new_addr = pmc.new_addr;
      old_addr < old_end;
      old_addr += PAGE_SIZE, new_addr += PAGE_SIZE
    ) {
      const oi = pte_index(old_addr);
      const ni = pte_index(new_addr);
      WARN_ON_ONCE(m, !pte_none(new_pt.entry[ni]), 'move_ptes');
      const old_pte = old_pt.entry[oi];
      if (pte_none(old_pte)) continue;
      if (pte_present(old_pte)) force_flush = true;
      let pte = get_and_clear_ptes(m, mm, old_addr, old_pt, oi, 1);
      if (need_clear_uffd_wp && pte_is_uffd_wp_marker(pte)) {
        pte_clear(m, mm, new_addr, new_pt, ni);
      } else {
        if (need_clear_uffd_wp) pte = pte_clear_uffd(pte);
        set_pte_at(m, mm, new_addr, new_pt, ni, pte);
      }
    }
    if (force_flush) flush_tlb_range(m, vma, old_start, old_end);
    if (new_pt !== old_pt) spin_unlock(m, new_pt.ptl);
    pte_unmap_unlock(m, old_pt);
  }
  if (pmc.need_rmap_locks) drop_rmap_locks(m, vma);
  return err;
}

/** mm/mremap.c: uffd_supports_page_table_move() */
function uffd_supports_page_table_move(pmc: pagetable_move_control): boolean {
  return !vma_has_uffd_without_event_remap(pmc.old) && !vma_has_uffd_without_event_remap(pmc.new);
}

/** Moves a whole pte table; false if that is not possible (mm/mremap.c: move_normal_pmd()). */
function* move_normal_pmd(
  m: Machine,
  pmc: pagetable_move_control,
  old_pmdt: ptdesc,
  old_pi: number,
  new_pmdt: ptdesc,
  new_pi: number,
): Gen<boolean> {
  const vma = pmc.old;
  const mm = vma.vm_mm;
  if (!uffd_supports_page_table_move(pmc)) return false;
  if (WARN_ON_ONCE(m, !pmd_none(new_pmdt.entry[new_pi]), 'move_normal_pmd')) return false;
  yield* pmd_lock(m, mm, old_pmdt);
  if (new_pmdt !== old_pmdt) yield* pmd_lock(m, mm, new_pmdt);
  const pt = pmd_is_table(old_pmdt.entry[old_pi]) ? ((old_pmdt.child as (ptdesc | null)[])[old_pi] ?? null) : null;
  if (pt !== null) {
    pmd_clear(old_pmdt, old_pi);
    BUG_ON(!pmd_none(new_pmdt.entry[new_pi]), 'mm/mremap.c: move_normal_pmd() onto a used pmd');
    pmd_populate(m, mm, new_pmdt, new_pi, pt);
    flush_tlb_range(m, vma, pmc.old_addr, pmc.old_addr + PMD_SIZE);
  }
  if (new_pmdt !== old_pmdt) spin_unlock(m, new_pmdt.ptl);
  spin_unlock(m, old_pmdt.ptl);
  return pt !== null;
}

/** Moves a whole pmd table; false if that is not possible (mm/mremap.c: move_normal_pud()). */
function* move_normal_pud(
  m: Machine,
  pmc: pagetable_move_control,
  old_pudt: ptdesc,
  old_ui: number,
  new_pudt: ptdesc,
  new_ui: number,
): Gen<boolean> {
  const vma = pmc.old;
  const mm = vma.vm_mm;
  if (!uffd_supports_page_table_move(pmc)) return false;
  if (WARN_ON_ONCE(m, new_pudt.entry[new_ui] !== 0, 'move_normal_pud')) return false;
  const ptl = yield* pud_lock(m, mm, old_pudt);
  const pmdt = (old_pudt.child as (ptdesc | null)[])[old_ui] ?? null;
  if (pmdt !== null) {
    pud_clear(old_pudt, old_ui);
    pud_populate(m, mm, new_pudt, new_ui, pmdt);
    flush_tlb_range(m, vma, pmc.old_addr, pmc.old_addr + PUD_SIZE);
  }
  spin_unlock(m, ptl);
  return pmdt !== null;
}

/**
 * Returns the bytes to move up to the end of the range or of the page-table entry of `size` bytes on either side
 * (mm/mremap.c: get_extent()).
 */
function get_extent(pmc: pagetable_move_control, size: number): number {
  const old_left = ALIGN_DOWN(pmc.old_addr, size) + size - pmc.old_addr;
  const new_left = ALIGN_DOWN(pmc.new_addr, size) + size - pmc.new_addr;
  return Math.min(old_left, pmc.old_end - pmc.old_addr, new_left);
}

/** mm/mremap.c: can_align_down() */
function can_align_down(vma: vm_area_struct, addr_to_align: number): boolean {
  if (vma.vm_start !== addr_to_align) return false;
  return find_vma_intersection(vma.vm_mm, ALIGN_DOWN(addr_to_align, PMD_SIZE), vma.vm_start) === null;
}

/** Aligns the move down to a pmd boundary if nothing is mapped below either range (mm/mremap.c: try_realign_addr()). */
function try_realign_addr(pmc: pagetable_move_control): void {
  const old_align = pmc.old_addr % PMD_SIZE;
  if (pmc.len_in < PMD_SIZE - old_align || old_align === 0 || old_align !== pmc.new_addr % PMD_SIZE) return;
  if (!can_align_down(pmc.old, pmc.old_addr) || !can_align_down(pmc.new, pmc.new_addr)) return;
  pmc.old_addr -= old_align;
  pmc.new_addr -= old_align;
}

/**
 * Moves one extent from pmc.old_addr on: the loop body of move_page_tables(). Returns its bytes, or 0 without memory
 * for tables (mm/mremap.c: move_page_tables()).
 */
function* move_extent(m: Machine, pmc: pagetable_move_control): Gen<number> {
  const vma = pmc.old;
  const mm = vma.vm_mm;
  let extent = get_extent(pmc, PUD_SIZE);
  const old_pudt = pud_table(mm, pmc.old_addr);
  const old_ui = pud_index(pmc.old_addr);
  if (old_pudt === null || old_pudt.entry[old_ui] === 0) return extent;
  const new_pudt = yield* pud_alloc(m, mm, mm.pgd, pgd_index(pmc.new_addr), pmc.new_addr);
  if (new_pudt === null) return 0;
  const new_ui = pud_index(pmc.new_addr);
  if (extent === PUD_SIZE) {
    yield* take_rmap_locks(m, vma);
    const moved = yield* move_normal_pud(m, pmc, old_pudt, old_ui, new_pudt, new_ui);
    drop_rmap_locks(m, vma);
    if (moved) return extent;
  }

  extent = get_extent(pmc, PMD_SIZE);
  const old_pmdt = pmd_off(mm, pmc.old_addr);
  const old_pi = pmd_index(pmc.old_addr);
  if (old_pmdt === null || pmd_none(old_pmdt.entry[old_pi])) return extent;
  const new_pmdt = yield* pmd_alloc(m, mm, new_pudt, new_ui, pmc.new_addr);
  if (new_pmdt === null) return 0;
  const new_pi = pmd_index(pmc.new_addr);
  for (;;) {
    if (pmd_is_huge(old_pmdt.entry[old_pi])) {
      if (extent === PMD_SIZE) {
        if (pmc.need_rmap_locks) yield* take_rmap_locks(m, vma);
        const moved = yield* move_huge_pmd(m, vma, pmc.old_addr, pmc.new_addr, old_pmdt, new_pmdt);
        if (pmc.need_rmap_locks) drop_rmap_locks(m, vma);
        if (moved) return extent;
      }
      yield* split_huge_pmd(m, vma, old_pmdt, old_pi, pmc.old_addr);
    } else if (extent === PMD_SIZE) {
      yield* take_rmap_locks(m, vma);
      const moved = yield* move_normal_pmd(m, pmc, old_pmdt, old_pi, new_pmdt, new_pi);
      drop_rmap_locks(m, vma);
      if (moved) return extent;
    }
    if (pmd_none(old_pmdt.entry[old_pi])) return extent;
    if (yield* pte_alloc(m, mm, new_pmdt, new_pi)) return 0;
    if ((yield* move_ptes(m, pmc, extent, old_pmdt, old_pi, new_pmdt, new_pi)) === 0) return extent;
  }
}

/**
 * Moves the page tables of a range. Returns the bytes moved, fewer than requested only without memory (mm/mremap.c:
 * move_page_tables()).
 */
export function* move_page_tables(m: Machine, pmc: pagetable_move_control): Gen<number> {
  if (pmc.len_in === 0) return 0;
  if (is_vm_hugetlb_page(pmc.old)) {
    return yield* move_hugetlb_page_tables(m, pmc.old, pmc.new, pmc.old_addr, pmc.new_addr, pmc.len_in);
  }
  try_realign_addr(pmc);
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_UNMAP, 0, pmc.old.vm_mm, pmc.old_addr, pmc.old_end);
  yield* mmu_notifier_invalidate_range_start(m, range);
  while (pmc.old_addr < pmc.old_end) {
    yield* cond_resched(m);
    const extent = yield* move_extent(m, pmc);
    if (extent === 0) break;
    pmc.old_addr += extent;
    pmc.new_addr += extent;
  }
  yield* mmu_notifier_invalidate_range_end(m, range);
  return Math.max(0, pmc.old_addr - (pmc.old_end - pmc.len_in));
}
