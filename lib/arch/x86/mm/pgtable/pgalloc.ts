// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../../machine.ts';
import type { Gen } from '../../../../kernel/gen.ts';
import { spin_lock, spin_unlock, type spinlock } from '../../../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../../../kernel/printk.ts';
import { type mm_struct, type vm_area_struct, VM_WRITE } from '../../../../mm/mm_types.ts';
import { page_to_pfn, PGTY_table } from '../../../../mm/page.ts';
import { __free_pages, alloc_pages, GFP_KERNEL } from '../../../../mm/page_alloc.ts';
import { PAGE_SIZE } from '../../../../mm/physmem.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_TABLE,
  _PAGE_USER,
  pfn_pte,
  pgd_index,
  ptdesc,
  pte_mkwrite,
  pud_index,
} from './pgtable.ts';

const TABLE_FLAGS = _PAGE_TABLE | _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED | _PAGE_DIRTY;

/** Allocates a page table of any level, or returns null (include/linux/mm.h: pagetable_alloc()). */
function table_alloc(m: Machine, level: number): ptdesc | null {
  const page = alloc_pages(m, GFP_KERNEL, 0);
  if (page === 0) return null;
  m.page.page_type[page] = PGTY_table;
  return new ptdesc(level, page);
}

/** Frees a page table that nothing points to (include/linux/mm.h: pagetable_free()). */
function table_free(m: Machine, t: ptdesc): void {
  BUG_ON(t.ptl.owner !== null, 'mm/memory.c: ptlock_free() of a locked page table');
  __free_pages(m, t.page, 0);
}

/**
 * Returns the entry of an upper table that points to the table. NON-KERNEL: upstream composes it in pmd_populate() and
 * the like.
 */
function table_entry(m: Machine, t: ptdesc): number {
  return pfn_pte(page_to_pfn(m, t.page), TABLE_FLAGS);
}

/** Allocates the pgd of an mm, or returns null (arch/x86/mm/pgtable.c: pgd_alloc()). */
export function pgd_alloc(m: Machine): ptdesc | null {
  return table_alloc(m, 4);
}

/** Frees a pgd (arch/x86/mm/pgtable.c: pgd_free()). */
export function pgd_free(m: Machine, mm: mm_struct, pgd: ptdesc): void {
  table_free(m, pgd);
}

/** Allocates an empty pte table, or returns null (arch/x86/mm/pgtable.c: pte_alloc_one()). */
export function pte_alloc_one(m: Machine, _mm: mm_struct): ptdesc | null {
  return table_alloc(m, 1);
}

/** Frees a pte table that nothing points to (include/asm-generic/pgalloc.h: pte_free()). */
export function pte_free(m: Machine, mm: mm_struct, pt: ptdesc): void {
  table_free(m, pt);
}

/** Allocates an empty pmd table, or returns null (include/asm-generic/pgalloc.h: pmd_alloc_one()). */
export function pmd_alloc_one(m: Machine, _mm: mm_struct, _addr: number): ptdesc | null {
  return table_alloc(m, 2);
}

/** Frees a pmd table (include/asm-generic/pgalloc.h: pmd_free()). */
export function pmd_free(m: Machine, mm: mm_struct, pmdt: ptdesc): void {
  BUG_ON(pmdt.pmd_huge_pte.length > 0, 'include/linux/mm.h: pagetable_dtor() with a deposited page table');
  table_free(m, pmdt);
}

/** Allocates an empty pud table, or returns null (include/asm-generic/pgalloc.h: pud_alloc_one()). */
export function pud_alloc_one(m: Machine, _mm: mm_struct, _addr: number): ptdesc | null {
  return table_alloc(m, 3);
}

/** Frees a pud table (include/asm-generic/pgalloc.h: pud_free()). */
export function pud_free(m: Machine, mm: mm_struct, pudt: ptdesc): void {
  table_free(m, pudt);
}

/** Counts a pte table (include/linux/mm.h: mm_inc_nr_ptes()). */
export function mm_inc_nr_ptes(mm: mm_struct): void {
  mm.pgtables_bytes += PAGE_SIZE;
}

/** Uncounts a pte table (include/linux/mm.h: mm_dec_nr_ptes()). */
export function mm_dec_nr_ptes(mm: mm_struct): void {
  mm.pgtables_bytes -= PAGE_SIZE;
}

/** Counts a pmd table (include/linux/mm.h: mm_inc_nr_pmds()). */
export function mm_inc_nr_pmds(mm: mm_struct): void {
  mm.pgtables_bytes += PAGE_SIZE;
}

/** Counts a pud table (include/linux/mm.h: mm_inc_nr_puds()). */
export function mm_inc_nr_puds(mm: mm_struct): void {
  mm.pgtables_bytes += PAGE_SIZE;
}

/** Points the pmd at (pmdt, pi) to a pte table (arch/x86/include/asm/pgalloc.h: pmd_populate()). */
export function pmd_populate(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, pt: ptdesc): void {
  pmdt.entry[pi] = table_entry(m, pt);
  (pmdt.child as (ptdesc | null)[])[pi] = pt;
}

/** Points the pud at (pudt, ui) to a pmd table (arch/x86/include/asm/pgalloc.h: pud_populate()). */
export function pud_populate(m: Machine, mm: mm_struct, pudt: ptdesc, ui: number, pmdt: ptdesc): void {
  pudt.entry[ui] = table_entry(m, pmdt);
  (pudt.child as (ptdesc | null)[])[ui] = pmdt;
}

/** Points the pgd entry to a pud table; the p4d level is folded (arch/x86/include/asm/pgalloc.h: p4d_populate()). */
export function p4d_populate(m: Machine, mm: mm_struct, pgdt: ptdesc, gi: number, pudt: ptdesc): void {
  pgdt.entry[gi] = table_entry(m, pudt);
  (pgdt.child as (ptdesc | null)[])[gi] = pudt;
}

/**
 * Clears the pmd. The caller reads pmdt.child[pi] first if it needs the table
 * (arch/x86/include/asm/pgtable.h: pmd_clear()).
 */
export function pmd_clear(pmdt: ptdesc, pi: number): void {
  pmdt.entry[pi] = 0;
  (pmdt.child as (ptdesc | null)[])[pi] = null;
}

/** Clears the pud (arch/x86/include/asm/pgtable.h: pud_clear()). */
export function pud_clear(pudt: ptdesc, ui: number): void {
  pudt.entry[ui] = 0;
  (pudt.child as (ptdesc | null)[])[ui] = null;
}

/** Locks a pmd table (include/linux/mm.h: pmd_lock()). */
export function* pmd_lock(m: Machine, mm: mm_struct, pmdt: ptdesc): Gen<spinlock> {
  yield* spin_lock(m, pmdt.ptl);
  return pmdt.ptl;
}

/** Locks a pud table, like upstream by the mm's page_table_lock (include/linux/mm.h: pud_lock()). */
export function* pud_lock(m: Machine, mm: mm_struct, _pudt: ptdesc): Gen<spinlock> {
  yield* spin_lock(m, mm.page_table_lock);
  return mm.page_table_lock;
}

/**
 * Returns the pud table for the address, or null (include/linux/pgtable.h: pud_offset()). Includes the walk from the
 * pgd.
 */
export function pud_table(mm: mm_struct, addr: number): ptdesc | null {
  return mm.pgd.child?.[pgd_index(addr)] ?? null;
}

/** Returns the pmd table for the address, or null (include/linux/pgtable.h: pmd_off()). */
export function pmd_off(mm: mm_struct, addr: number): ptdesc | null {
  return pud_table(mm, addr)?.child?.[pud_index(addr)] ?? null;
}

/** Unlocks what pte_offset_map_lock() locked (include/linux/mm.h: pte_unmap_unlock()). */
export function pte_unmap_unlock(m: Machine, pt: ptdesc): void {
  spin_unlock(m, pt.ptl);
}

/** Sets the write bit if the vma is writable (include/linux/mm.h: maybe_mkwrite()). */
export function maybe_mkwrite(pte: number, vma: vm_area_struct): number {
  return vma.vm_flags & VM_WRITE ? pte_mkwrite(pte) : pte;
}

/** Returns an entry for the page (include/linux/mm.h: mk_pte()). */
export function mk_pte(m: Machine, page: number, prot: number): number {
  return pfn_pte(page_to_pfn(m, page), prot);
}

/** Returns an entry for the folio's first page (include/linux/mm.h: folio_mk_pte()). */
export function folio_mk_pte(m: Machine, folio: number, prot: number): number {
  return mk_pte(m, folio, prot);
}

/** Sets the huge bit of a pmd (arch/x86/include/asm/pgtable.h: pmd_mkhuge()). */
export function pmd_mkhuge(pmd: number): number {
  return pmd + (pmd & _PAGE_PSE ? 0 : _PAGE_PSE);
}
