// SPDX-License-Identifier: GPL-2.0-only

import { pmd_free, pte_free, pud_free } from '../arch/x86/mm/pgtable/pgalloc.ts';
import { PMD_SHIFT, PMD_SIZE, type ptdesc, PUD_SIZE, TASK_SIZE } from '../arch/x86/mm/pgtable/pgtable.ts';
import {
  dec_tlb_flush_pending,
  flush_tlb_mm_range,
  inc_tlb_flush_pending,
  mm_tlb_flush_nested,
} from '../arch/x86/mm/tlb.ts';
import type { Machine } from '../machine.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { folios_put_refs } from './folio.ts';
import { is_vm_hugetlb_page, type mm_struct, type vm_area_struct, VM_MIXEDMAP, VM_PFNMAP } from './mm_types.ts';
import { page_folio } from './page.ts';
import { PAGE_SHIFT, PAGE_SIZE } from './physmem.ts';
import { folio_remove_rmap_ptes } from './rmap/rmap.ts';

const MMU_GATHER_BUNDLE = 8;
const MAX_GATHER_BATCH = 510;
const MAX_GATHER_BATCH_COUNT = 19;
const MAX_TABLE_BATCH = 509;

/** Pages to free after the TLB flush (include/asm-generic/tlb.h: struct mmu_gather_batch). */
class mmu_gather_batch {
  readonly max: number;
  /** slots used; a run of more than one page takes two */
  nr = 0;
  readonly pages: number[] = [];
  readonly nr_pages: number[] = [];
  /** indices into `pages` of those with a delayed rmap removal */
  readonly delayed: number[] = [];
  constructor(max: number) {
    this.max = max;
  }
}

/** Collects what an unmap frees until the TLB is flushed (include/asm-generic/tlb.h: struct mmu_gather). */
export class mmu_gather {
  mm: mm_struct | null = null;
  /** range of cleared entries */
  start = TASK_SIZE;
  end = 0;
  fullmm = false;
  need_flush_all = false;
  freed_tables = false;
  delayed_rmap = false;
  cleared_ptes = false;
  cleared_pmds = false;
  cleared_puds = false;
  unshared_tables = false;
  fully_unshared_tables = false;
  vma_huge = false;
  vma_pfn = false;
  readonly batches: mmu_gather_batch[] = [new mmu_gather_batch(MMU_GATHER_BUNDLE)];
  /** index of the batch being filled */
  active = 0;
  tables: ptdesc[] = [];
}

/** include/asm-generic/tlb.h: __tlb_reset_range() */
function __tlb_reset_range(tlb: mmu_gather): void {
  if (tlb.fullmm) {
    tlb.start = tlb.end = Infinity;
  } else {
    tlb.start = TASK_SIZE;
    tlb.end = 0;
  }
  tlb.freed_tables = false;
  tlb.cleared_ptes = false;
  tlb.cleared_pmds = false;
  tlb.cleared_puds = false;
  tlb.unshared_tables = false;
}

/** mm/mmu_gather.c: __tlb_gather_mmu() */
function __tlb_gather_mmu(tlb: mmu_gather, mm: mm_struct, fullmm: boolean): void {
  tlb.mm = mm;
  tlb.fullmm = fullmm;
  tlb.need_flush_all = false;
  tlb.delayed_rmap = false;
  tlb.vma_pfn = false;
  tlb.fully_unshared_tables = false;
  __tlb_reset_range(tlb);
  inc_tlb_flush_pending(mm);
}

/** Starts an unmap of part of the mm (mm/mmu_gather.c: tlb_gather_mmu()). */
export function tlb_gather_mmu(_m: Machine, tlb: mmu_gather, mm: mm_struct): void {
  __tlb_gather_mmu(tlb, mm, false);
}

/** Starts the teardown of a whole mm (mm/mmu_gather.c: tlb_gather_mmu_fullmm()). */
export function tlb_gather_mmu_fullmm(_m: Machine, tlb: mmu_gather, mm: mm_struct): void {
  __tlb_gather_mmu(tlb, mm, true);
}

/** Starts an unmap within one vma (mm/mmu_gather.c: tlb_gather_mmu_vma()). */
export function tlb_gather_mmu_vma(m: Machine, tlb: mmu_gather, vma: vm_area_struct): void {
  tlb_gather_mmu(m, tlb, vma.vm_mm);
  tlb_update_vma_flags(tlb, vma);
}

/** include/asm-generic/tlb.h: tlb_update_vma_flags() */
function tlb_update_vma_flags(tlb: mmu_gather, vma: vm_area_struct): void {
  tlb.vma_huge = is_vm_hugetlb_page(vma);
  if (vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP)) tlb.vma_pfn = true;
}

/** include/asm-generic/tlb.h: tlb_get_unmap_shift() */
function tlb_get_unmap_shift(tlb: mmu_gather): number {
  if (tlb.cleared_ptes) return PAGE_SHIFT;
  if (tlb.cleared_pmds) return PMD_SHIFT;
  if (tlb.cleared_puds) return 30;
  return PAGE_SHIFT;
}

/** Flushes the TLB for what was cleared so far (include/asm-generic/tlb.h: tlb_flush_mmu_tlbonly()). */
export function tlb_flush_mmu_tlbonly(m: Machine, tlb: mmu_gather): void {
  if (!(tlb.freed_tables || tlb.cleared_ptes || tlb.cleared_pmds || tlb.cleared_puds || tlb.unshared_tables)) return;
  const all = tlb.fullmm || tlb.need_flush_all;
  flush_tlb_mm_range(
    m,
    tlb.mm as mm_struct,
    all ? 0 : tlb.start,
    all ? Infinity : tlb.end,
    tlb_get_unmap_shift(tlb),
    tlb.freed_tables,
  );
  __tlb_reset_range(tlb);
}

/** include/asm-generic/tlb.h: __tlb_remove_table() */
function tlb_table_free(m: Machine, mm: mm_struct, table: ptdesc): void {
  if (table.level === 1) pte_free(m, mm, table);
  else if (table.level === 2) pmd_free(m, mm, table);
  else pud_free(m, mm, table);
}

/** mm/mmu_gather.c: tlb_table_flush() */
function tlb_table_flush(m: Machine, tlb: mmu_gather): void {
  if (tlb.tables.length === 0) return;
  tlb_flush_mmu_tlbonly(m, tlb);
  for (const table of tlb.tables) tlb_table_free(m, tlb.mm as mm_struct, table);
  tlb.tables = [];
}

/** mm/mmu_gather.c: tlb_batch_pages_flush() */
function tlb_batch_pages_flush(m: Machine, tlb: mmu_gather): void {
  for (const batch of tlb.batches) {
    if (batch.nr === 0) break;
    const folios = batch.pages.map((page) => page_folio(m, page));
    const refs = batch.nr_pages.slice();
    batch.nr = 0;
    batch.pages.length = 0;
    batch.nr_pages.length = 0;
    batch.delayed.length = 0;
    folios_put_refs(m, folios, refs);
  }
  tlb.active = 0;
}

/** Flushes the TLB, then frees the page tables and pages collected so far (mm/mmu_gather.c: tlb_flush_mmu()). */
export function tlb_flush_mmu(m: Machine, tlb: mmu_gather): void {
  tlb_flush_mmu_tlbonly(m, tlb);
  tlb_table_flush(m, tlb);
  tlb_batch_pages_flush(m, tlb);
}

/** Ends an unmap. Flushes the whole mm if another unmap of it is running (mm/mmu_gather.c: tlb_finish_mmu()). */
export function tlb_finish_mmu(m: Machine, tlb: mmu_gather): void {
  const mm = tlb.mm as mm_struct;
  if (mm_tlb_flush_nested(mm)) {
    tlb.fullmm = true;
    __tlb_reset_range(tlb);
    tlb.freed_tables = true;
  }
  tlb_flush_mmu(m, tlb);
  tlb.batches.length = 1;
  dec_tlb_flush_pending(mm);
}

/** Removes the rmaps that were delayed until after the TLB flush (mm/mmu_gather.c: tlb_flush_rmaps()). */
export function tlb_flush_rmaps(m: Machine, tlb: mmu_gather, vma: vm_area_struct): void {
  if (!tlb.delayed_rmap) return;
  for (const i of tlb.active === 0 ? [0] : [0, tlb.active]) {
    const batch = tlb.batches[i];
    for (const k of batch.delayed) {
      const page = batch.pages[k];
      folio_remove_rmap_ptes(m, page_folio(m, page), page, batch.nr_pages[k], vma);
    }
    batch.delayed.length = 0;
  }
  tlb.delayed_rmap = false;
}

/** Marks that rmap removals are delayed; always true (include/asm-generic/tlb.h: tlb_delay_rmap()). */
export function tlb_delay_rmap(tlb: mmu_gather): boolean {
  tlb.delayed_rmap = true;
  return true;
}

/** Does nothing on x86, which flushes all page sizes alike (include/asm-generic/tlb.h: tlb_change_page_size()). */
export function tlb_change_page_size(_tlb: mmu_gather, _page_size: number): void {}

/** Called before the entries of one vma are cleared (include/asm-generic/tlb.h: tlb_start_vma()). */
export function tlb_start_vma(_m: Machine, tlb: mmu_gather, vma: vm_area_struct): void {
  if (!tlb.fullmm) tlb_update_vma_flags(tlb, vma);
}

/**
 * Called after the entries of one vma were cleared. Does nothing: x86 merges the flushes of several vmas
 * (include/asm-generic/tlb.h: tlb_end_vma()).
 */
export function tlb_end_vma(_m: Machine, _tlb: mmu_gather, _vma: vm_area_struct): void {}

/**
 * Called before vmas are unlinked; flushes pfn mappings, which have no page that is kept (include/asm-generic/tlb.h:
 * tlb_free_vmas()).
 */
export function tlb_free_vmas(m: Machine, tlb: mmu_gather): void {
  if (!tlb.fullmm && tlb.vma_pfn) tlb_flush_mmu_tlbonly(m, tlb);
}

/** include/asm-generic/tlb.h: __tlb_adjust_range() */
function __tlb_adjust_range(tlb: mmu_gather, address: number, size: number): void {
  if (address < tlb.start) tlb.start = address;
  if (address + size > tlb.end) tlb.end = address + size;
}

/** Records that ptes of the range were cleared (include/asm-generic/tlb.h: tlb_flush_pte_range()). */
export function tlb_flush_pte_range(tlb: mmu_gather, address: number, size: number): void {
  __tlb_adjust_range(tlb, address, size);
  tlb.cleared_ptes = true;
}

/** Records that pmds of the range were cleared (include/asm-generic/tlb.h: tlb_flush_pmd_range()). */
export function tlb_flush_pmd_range(tlb: mmu_gather, address: number, size: number): void {
  __tlb_adjust_range(tlb, address, size);
  tlb.cleared_pmds = true;
}

/** Records that puds of the range were cleared (include/asm-generic/tlb.h: tlb_flush_pud_range()). */
function tlb_flush_pud_range(tlb: mmu_gather, address: number, size: number): void {
  __tlb_adjust_range(tlb, address, size);
  tlb.cleared_puds = true;
}

/** Records one cleared pte (include/asm-generic/tlb.h: tlb_remove_tlb_entry()). */
export function tlb_remove_tlb_entry(tlb: mmu_gather, address: number): void {
  tlb_flush_pte_range(tlb, address, PAGE_SIZE);
}

/** Records nr cleared ptes (include/asm-generic/tlb.h: tlb_remove_tlb_entries()). */
export function tlb_remove_tlb_entries(tlb: mmu_gather, nr: number, address: number): void {
  tlb_flush_pte_range(tlb, address, PAGE_SIZE * nr);
}

/** Records a cleared huge pmd (include/asm-generic/tlb.h: tlb_remove_pmd_tlb_entry()). */
export function tlb_remove_pmd_tlb_entry(tlb: mmu_gather, address: number): void {
  tlb_flush_pmd_range(tlb, address, PMD_SIZE);
}

/** Records a cleared hugetlb entry; its size is in bytes (include/asm-generic/tlb.h: tlb_remove_huge_tlb_entry()). */
export function tlb_remove_huge_tlb_entry(tlb: mmu_gather, huge_page_size: number, address: number): void {
  if (huge_page_size >= PUD_SIZE) tlb_flush_pud_range(tlb, address, huge_page_size);
  else if (huge_page_size >= PMD_SIZE) tlb_flush_pmd_range(tlb, address, huge_page_size);
  else tlb_flush_pte_range(tlb, address, huge_page_size);
}

/** mm/mmu_gather.c: tlb_next_batch() */
function tlb_next_batch(tlb: mmu_gather): boolean {
  if (tlb.delayed_rmap && tlb.active !== 0) return false;
  if (tlb.active + 1 === tlb.batches.length) {
    if (tlb.batches.length - 1 === MAX_GATHER_BATCH_COUNT) return false;
    tlb.batches.push(new mmu_gather_batch(MAX_GATHER_BATCH));
  }
  tlb.active++;
  return true;
}

/**
 * Queues consecutive pages of a folio, with a reference each, for freeing. Returns true if a flush must come before
 * more (mm/mmu_gather.c: __tlb_remove_folio_pages()).
 */
export function __tlb_remove_folio_pages(
  _m: Machine,
  tlb: mmu_gather,
  page: number,
  nr_pages: number,
  delay_rmap: boolean,
): boolean {
  BUG_ON(tlb.end === 0, 'mm/mmu_gather.c: __tlb_remove_folio_pages_size() without a range');
  const batch = tlb.batches[tlb.active];
  if (delay_rmap) batch.delayed.push(batch.pages.length);
  batch.pages.push(page);
  batch.nr_pages.push(nr_pages);
  batch.nr += nr_pages === 1 ? 1 : 2;
  return batch.nr >= batch.max - 1 && !tlb_next_batch(tlb);
}

/**
 * Queues one page of page_size bytes for freeing. Returns true if a flush must come before more (mm/mmu_gather.c:
 * __tlb_remove_page_size()).
 */
function __tlb_remove_page_size(m: Machine, tlb: mmu_gather, page: number, _page_size: number): boolean {
  return __tlb_remove_folio_pages(m, tlb, page, 1, false);
}

/**
 * Queues one page of page_size bytes for freeing and flushes if needed (include/asm-generic/tlb.h:
 * tlb_remove_page_size()).
 */
export function tlb_remove_page_size(m: Machine, tlb: mmu_gather, page: number, page_size: number): void {
  if (__tlb_remove_page_size(m, tlb, page, page_size)) tlb_flush_mmu(m, tlb);
}

/** Queues one page for freeing (include/asm-generic/tlb.h: tlb_remove_page()). */
export function tlb_remove_page(m: Machine, tlb: mmu_gather, page: number): void {
  tlb_remove_page_size(m, tlb, page, PAGE_SIZE);
}

/** Queues a page table for freeing (mm/mmu_gather.c: tlb_remove_table()). */
function tlb_remove_table(m: Machine, tlb: mmu_gather, table: ptdesc): void {
  tlb.tables.push(table);
  if (tlb.tables.length === MAX_TABLE_BATCH) tlb_table_flush(m, tlb);
}

/** Queues a pte table that was removed from its pmd (include/asm-generic/tlb.h: pte_free_tlb()). */
export function pte_free_tlb(m: Machine, tlb: mmu_gather, pt: ptdesc, address: number): void {
  tlb_flush_pmd_range(tlb, address, PAGE_SIZE);
  tlb.freed_tables = true;
  tlb_remove_table(m, tlb, pt);
}

/** Queues a pmd table (include/asm-generic/tlb.h: pmd_free_tlb()). */
export function pmd_free_tlb(m: Machine, tlb: mmu_gather, pmdt: ptdesc, address: number): void {
  tlb_flush_pud_range(tlb, address, PAGE_SIZE);
  tlb.freed_tables = true;
  tlb_remove_table(m, tlb, pmdt);
}

/** Queues a pud table (include/asm-generic/tlb.h: pud_free_tlb()). */
export function pud_free_tlb(m: Machine, tlb: mmu_gather, pudt: ptdesc, address: number): void {
  __tlb_adjust_range(tlb, address, PAGE_SIZE);
  tlb.freed_tables = true;
  tlb_remove_table(m, tlb, pudt);
}
