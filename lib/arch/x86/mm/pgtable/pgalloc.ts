// SPDX-License-Identifier: GPL-2.0-only

import { ENOMEM } from '../../../../errno.ts';
import type { Machine } from '../../../../boot.ts';
import type { Gen } from '../../../../kernel/gen.ts';
import { spin_lock, spin_unlock, type spinlock } from '../../../../kernel/locks.ts';
import { BUG_ON } from '../../../../kernel/printk.ts';
import { VM_WRITE, type mm_struct, type vm_area_struct } from '../../../../mm/mm_types.ts';
import { PGTY_table, page_to_pfn } from '../../../../mm/page.ts';
import { GFP_KERNEL, __free_pages, alloc_pages } from '../../../../mm/page_alloc.ts';
import {
  PAGE_SIZE, _PAGE_ACCESSED, _PAGE_DIRTY, _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW, _PAGE_TABLE, _PAGE_USER, pfn_pte,
  pgd_index, pmd_is_table, pmd_none, pte_advance_pfn, pte_mkwrite, ptdesc, pud_index,
} from './pgtable.ts';

export { ptep_clear_flush, ptep_get_and_clear } from '../tlb.ts';
export * from './pte.ts';
export * from './pmd.ts';

const TABLE_FLAGS = _PAGE_TABLE | _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED | _PAGE_DIRTY;

function table_alloc(m: Machine, level: number): ptdesc | null {
  const page = alloc_pages(m, GFP_KERNEL, 0);
  if (page === 0) return null;
  m.page.page_type[page] = PGTY_table;
  return new ptdesc(level, page);
}

function table_free(m: Machine, t: ptdesc): void {
  BUG_ON(t.ptl.owner !== null, 'mm/memory.c: ptlock_free() of a locked page table');
  __free_pages(m, t.page, 0);
}

/** The entry in an upper table that points at the table. NON-KERNEL. */
export function table_entry(m: Machine, t: ptdesc): number {
  return pfn_pte(page_to_pfn(m, t.page), TABLE_FLAGS);
}

/** The top table of an address space, or null without memory (arch/x86/mm/pgtable.c: pgd_alloc()). */
export function pgd_alloc(m: Machine): ptdesc | null {
  return table_alloc(m, 4);
}

/** Frees a top table (arch/x86/mm/pgtable.c: pgd_free()). */
export function pgd_free(m: Machine, mm: mm_struct, pgd: ptdesc): void {
  table_free(m, pgd);
}

/** An empty pte table, or null without memory (arch/x86/mm/pgtable.c: pte_alloc_one()). */
export function pte_alloc_one(m: Machine, _mm: mm_struct): ptdesc | null {
  return table_alloc(m, 1);
}

/** Frees a pte table that nothing points at (include/asm-generic/pgalloc.h: pte_free()). */
export function pte_free(m: Machine, mm: mm_struct, pt: ptdesc): void {
  table_free(m, pt);
}

/** Frees a pte table once no walk without locks can be in it, which is at once here (mm/pgtable-generic.c: pte_free_defer()). */
export function pte_free_defer(m: Machine, mm: mm_struct, pt: ptdesc): void {
  pte_free(m, mm, pt);
}

/** An empty pmd table, or null without memory (include/asm-generic/pgalloc.h: pmd_alloc_one()). */
export function pmd_alloc_one(m: Machine, _mm: mm_struct, _addr: number): ptdesc | null {
  return table_alloc(m, 2);
}

/** Frees a pmd table (include/asm-generic/pgalloc.h: pmd_free()). */
export function pmd_free(m: Machine, mm: mm_struct, pmdt: ptdesc): void {
  BUG_ON(pmdt.pmd_huge_pte.length > 0, 'include/linux/mm.h: pagetable_dtor() with a deposited page table');
  table_free(m, pmdt);
}

/** An empty pud table, or null without memory (include/asm-generic/pgalloc.h: pud_alloc_one()). */
export function pud_alloc_one(m: Machine, _mm: mm_struct, _addr: number): ptdesc | null {
  return table_alloc(m, 3);
}

/** Frees a pud table (include/asm-generic/pgalloc.h: pud_free()). */
export function pud_free(m: Machine, mm: mm_struct, pudt: ptdesc): void {
  table_free(m, pudt);
}

/** include/linux/mm.h: mm_inc_nr_ptes() */
export function mm_inc_nr_ptes(mm: mm_struct): void {
  mm.pgtables_bytes += PAGE_SIZE;
}

/** include/linux/mm.h: mm_dec_nr_ptes() */
export function mm_dec_nr_ptes(mm: mm_struct): void {
  mm.pgtables_bytes -= PAGE_SIZE;
}

/** include/linux/mm.h: mm_inc_nr_pmds() */
export function mm_inc_nr_pmds(mm: mm_struct): void {
  mm.pgtables_bytes += PAGE_SIZE;
}

/** include/linux/mm.h: mm_dec_nr_pmds() */
export function mm_dec_nr_pmds(mm: mm_struct): void {
  mm.pgtables_bytes -= PAGE_SIZE;
}

/** include/linux/mm.h: mm_inc_nr_puds() */
export function mm_inc_nr_puds(mm: mm_struct): void {
  mm.pgtables_bytes += PAGE_SIZE;
}

/** include/linux/mm.h: mm_dec_nr_puds() */
export function mm_dec_nr_puds(mm: mm_struct): void {
  mm.pgtables_bytes -= PAGE_SIZE;
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

/** Points the top entry to a pud table; the p4d level is folded (arch/x86/include/asm/pgalloc.h: p4d_populate()). */
export function p4d_populate(m: Machine, mm: mm_struct, pgdt: ptdesc, gi: number, pudt: ptdesc): void {
  pgdt.entry[gi] = table_entry(m, pudt);
  (pgdt.child as (ptdesc | null)[])[gi] = pudt;
}

/** Empties the pmd; whoever needs the table that it pointed at reads pmdt.child[pi] before (arch/x86/include/asm/pgtable.h: pmd_clear()). */
export function pmd_clear(pmdt: ptdesc, pi: number): void {
  pmdt.entry[pi] = 0;
  (pmdt.child as (ptdesc | null)[])[pi] = null;
}

/** Empties the pud (arch/x86/include/asm/pgtable.h: pud_clear()). */
export function pud_clear(pudt: ptdesc, ui: number): void {
  pudt.entry[ui] = 0;
  (pudt.child as (ptdesc | null)[])[ui] = null;
}

/** Empties the top entry (arch/x86/include/asm/pgtable.h: p4d_clear()). */
export function p4d_clear(pgdt: ptdesc, gi: number): void {
  pgdt.entry[gi] = 0;
  (pgdt.child as (ptdesc | null)[])[gi] = null;
}

/** Locks a pmd table (include/linux/mm.h: pmd_lock()). */
export function* pmd_lock(m: Machine, mm: mm_struct, pmdt: ptdesc): Gen<spinlock> {
  yield* spin_lock(m, pmdt.ptl);
  return pmdt.ptl;
}

/** Locks a pud table (include/linux/mm.h: pud_lock()); upstream's is the mm's page_table_lock. */
export function* pud_lock(m: Machine, mm: mm_struct, _pudt: ptdesc): Gen<spinlock> {
  yield* spin_lock(m, mm.page_table_lock);
  return mm.page_table_lock;
}

/** The pud table for the address, or null (include/linux/pgtable.h: pud_offset() after a walk from the top). */
export function pud_table(mm: mm_struct, addr: number): ptdesc | null {
  return mm.pgd.child?.[pgd_index(addr)] ?? null;
}

/** The pmd table for the address, or null if there is none, or a leaf in its place (mm/rmap.c: mm_find_pmd()). */
export function mm_find_pmd(m: Machine, mm: mm_struct, address: number): ptdesc | null {
  return pud_table(mm, address)?.child?.[pud_index(address)] ?? null;
}

/** The pmd table for the address, or null (include/linux/pgtable.h: pmd_off()). */
export function pmd_off(mm: mm_struct, addr: number): ptdesc | null {
  return pud_table(mm, addr)?.child?.[pud_index(addr)] ?? null;
}

/** The pud table under the top entry, made if need be; null without memory (include/linux/mm.h: pud_alloc(), mm/memory.c: __pud_alloc()). */
export function* pud_alloc(m: Machine, mm: mm_struct, pgdt: ptdesc, gi: number, addr: number): Gen<ptdesc | null> {
  const there = pgdt.child?.[gi];
  if (there) return there;
  const made = pud_alloc_one(m, mm, addr);
  if (made === null) return null;
  yield* spin_lock(m, mm.page_table_lock);
  if (pgdt.entry[gi] === 0) {
    mm_inc_nr_puds(mm);
    p4d_populate(m, mm, pgdt, gi, made);
  } else {
    pud_free(m, mm, made);
  }
  spin_unlock(m, mm.page_table_lock);
  return pgdt.child?.[gi] ?? null;
}

/** The pmd table under the pud, made if need be; null without memory (include/linux/mm.h: pmd_alloc(), mm/memory.c: __pmd_alloc()). */
export function* pmd_alloc(m: Machine, mm: mm_struct, pudt: ptdesc, ui: number, addr: number): Gen<ptdesc | null> {
  const there = pudt.child?.[ui];
  if (there) return there;
  const made = pmd_alloc_one(m, mm, addr);
  if (made === null) return null;
  const ptl = yield* pud_lock(m, mm, pudt);
  if (pudt.entry[ui] === 0) {
    mm_inc_nr_pmds(mm);
    pud_populate(m, mm, pudt, ui, made);
  } else {
    pmd_free(m, mm, made);
  }
  spin_unlock(m, ptl);
  return pudt.child?.[ui] ?? null;
}

/** The pmd table for the address with every table above it made; null without memory (mm/userfaultfd.c: mm_alloc_pmd(), mm/mremap.c: alloc_new_pmd()). */
export function* mm_alloc_pmd(m: Machine, mm: mm_struct, addr: number): Gen<ptdesc | null> {
  const pudt = yield* pud_alloc(m, mm, mm.pgd, pgd_index(addr), addr);
  if (pudt === null) return null;
  return yield* pmd_alloc(m, mm, pudt, pud_index(addr), addr);
}

/** Puts the pte table under the pmd if that is still empty; false leaves the table with the caller (mm/memory.c: pmd_install()). */
export function* pmd_install(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, pt: ptdesc): Gen<boolean> {
  const ptl = yield* pmd_lock(m, mm, pmdt);
  const empty = pmd_none(pmdt.entry[pi] as number);
  if (empty) {
    mm_inc_nr_ptes(mm);
    pmd_populate(m, mm, pmdt, pi, pt);
  }
  spin_unlock(m, ptl);
  return empty;
}

/** Makes a pte table under the pmd if that is empty; 0 or -ENOMEM (include/linux/mm.h: pte_alloc(), mm/memory.c: __pte_alloc()). */
export function* pte_alloc(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number): Gen<number> {
  if (!pmd_none(pmdt.entry[pi] as number)) return 0;
  const made = pte_alloc_one(m, mm);
  if (made === null) return -ENOMEM;
  if (!(yield* pmd_install(m, mm, pmdt, pi, made))) pte_free(m, mm, made);
  return 0;
}

/** The pte table that the pmd points at, or null if it points at none (mm/pgtable-generic.c: __pte_offset_map()). */
export function pte_offset_map(m: Machine, pmdt: ptdesc, pi: number): ptdesc | null {
  return pmd_is_table(pmdt.entry[pi] as number) ? ((pmdt.child as (ptdesc | null)[])[pi] ?? null) : null;
}

/** As pte_offset_map(); its lock, pt.ptl, is not taken (mm/pgtable-generic.c: pte_offset_map_ro_nolock()). */
export function pte_offset_map_ro_nolock(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, _addr: number): ptdesc | null {
  return pte_offset_map(m, pmdt, pi);
}

/** As pte_offset_map_ro_nolock(); the caller compares the pmd again under the lock (mm/pgtable-generic.c: pte_offset_map_rw_nolock()). */
export function pte_offset_map_rw_nolock(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, _addr: number): ptdesc | null {
  return pte_offset_map(m, pmdt, pi);
}

/** The pte table under the pmd with its lock taken, or null if there is none (mm/pgtable-generic.c: pte_offset_map_lock()). */
export function* pte_offset_map_lock(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, _addr: number): Gen<ptdesc | null> {
  for (;;) {
    const pmdval = pmdt.entry[pi] as number;
    const pt = pte_offset_map(m, pmdt, pi);
    if (pt === null) return null;
    yield* spin_lock(m, pt.ptl);
    if (pmdt.entry[pi] === pmdval) return pt;
    spin_unlock(m, pt.ptl);
  }
}

/** Ends pte_offset_map() (include/linux/pgtable.h: pte_unmap()). */
export function pte_unmap(_pt: ptdesc): void {
}

/** Unlocks what pte_offset_map_lock() locked (include/linux/mm.h: pte_unmap_unlock()). */
export function pte_unmap_unlock(m: Machine, pt: ptdesc): void {
  spin_unlock(m, pt.ptl);
}

/** pte_alloc(), then pte_offset_map_lock(); null without memory or if the pmd is no table (include/linux/mm.h: pte_alloc_map_lock()). */
export function* pte_alloc_map_lock(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, addr: number): Gen<ptdesc | null> {
  if (pmd_none(pmdt.entry[pi] as number) && (yield* pte_alloc(m, mm, pmdt, pi)) !== 0) return null;
  return yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
}

/** Keeps a page table for the day that a huge pmd is split; under the pmd lock (mm/pgtable-generic.c: pgtable_trans_huge_deposit()). */
export function pgtable_trans_huge_deposit(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, pgtable: ptdesc): void {
  BUG_ON(pmdt.ptl.owner === null, 'mm/pgtable-generic.c: pgtable_trans_huge_deposit() without the pmd lock');
  pmdt.pmd_huge_pte.push(pgtable);
}

/** Takes the page table that was deposited last; under the pmd lock (mm/pgtable-generic.c: pgtable_trans_huge_withdraw()). */
export function pgtable_trans_huge_withdraw(m: Machine, mm: mm_struct, pmdt: ptdesc, _pi: number): ptdesc {
  BUG_ON(pmdt.ptl.owner === null, 'mm/pgtable-generic.c: pgtable_trans_huge_withdraw() without the pmd lock');
  const pt = pmdt.pmd_huge_pte.pop();
  BUG_ON(pt === undefined, 'mm/pgtable-generic.c: pgtable_trans_huge_withdraw() with nothing deposited');
  return pt as ptdesc;
}

/** The entry made writable if the vma is (include/linux/mm.h: maybe_mkwrite()). */
export function maybe_mkwrite(pte: number, vma: vm_area_struct): number {
  return vma.vm_flags & VM_WRITE ? pte_mkwrite(pte) : pte;
}

/** An entry for the page (include/linux/mm.h: mk_pte()). */
export function mk_pte(m: Machine, page: number, prot: number): number {
  return pfn_pte(page_to_pfn(m, page), prot);
}

/** An entry for the folio's first page (include/linux/mm.h: folio_mk_pte()). */
export function folio_mk_pte(m: Machine, folio: number, prot: number): number {
  return mk_pte(m, folio, prot);
}

/** A huge pmd of a pmd entry (arch/x86/include/asm/pgtable.h: pmd_mkhuge()). */
export function pmd_mkhuge(pmd: number): number {
  return pmd + (pmd & _PAGE_PSE ? 0 : _PAGE_PSE);
}

/** The same mapping one page further (include/linux/pgtable.h: pte_next_pfn()). */
export function pte_next_pfn(pte: number): number {
  return pte_advance_pfn(pte, 1);
}
