// SPDX-License-Identifier: GPL-2.0-only
// Operations on huge pmds, with the TLB flush where it belongs to them. Those on ptes are in pte.ts and tlb.ts.

import type { Machine } from '../../../../machine.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../../../kernel/printk.ts';
import type { mm_struct, vm_area_struct } from '../../../../mm/mm_types.ts';
import { flush_tlb_range } from '../tlb.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_USER,
  HPAGE_PMD_SIZE,
  pfn_pte,
  pmd_pfn,
  pmd_present,
  pmd_wrprotect,
  pmd_young,
  type ptdesc,
  pte_clear_flags,
} from './pgtable.ts';

/** Writes a pmd (arch/x86/include/asm/pgtable.h: set_pmd_at()). */
export function set_pmd_at(m: Machine, mm: mm_struct, addr: number, pmdt: ptdesc, pi: number, pmd: number): void {
  pmdt.entry[pi] = pmd;
}

/** Makes a huge pmd inaccessible; it stays a huge mapping (arch/x86/include/asm/pgtable.h: pmd_mkinvalid()). */
export function pmd_mkinvalid(pmd: number): number {
  return pte_clear_flags(pmd, _PAGE_PRESENT | _PAGE_PROTNONE);
}

/**
 * Writes a pmd and returns the old one, with the bits that the hardware set in the meantime
 * (arch/x86/include/asm/pgtable.h: pmdp_establish()).
 */
export function pmdp_establish(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
  pmd: number,
): number {
  const old = pmdt.entry[pi];
  pmdt.entry[pi] = pmd;
  return old;
}

/**
 * Makes a pmd more permissive. Returns true if it changed. No flush: a spurious fault drops the stale translation
 * (arch/x86/mm/pgtable.c: pmdp_set_access_flags()).
 */
export function pmdp_set_access_flags(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
  entry: number,
  dirty: boolean,
): boolean {
  const changed = pmdt.entry[pi] !== entry;
  BUG_ON(address % HPAGE_PMD_SIZE !== 0, 'arch/x86/mm/pgtable.c: pmdp_set_access_flags()');
  if (changed && dirty) pmdt.entry[pi] = entry;
  return changed;
}

/** Clears the accessed bit and returns its old value (arch/x86/mm/pgtable.c: pmdp_test_and_clear_young()). */
export function pmdp_test_and_clear_young(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
): boolean {
  const pmd = pmdt.entry[pi];
  pmdt.entry[pi] = pte_clear_flags(pmd, _PAGE_ACCESSED);
  return pmd_young(pmd);
}

/** Clears the accessed bit, and flushes if it was set (arch/x86/mm/pgtable.c: pmdp_clear_flush_young()). */
export function pmdp_clear_flush_young(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
): boolean {
  const young = pmdp_test_and_clear_young(m, vma, address, pmdt, pi);
  if (young) flush_tlb_range(m, vma, address, address + HPAGE_PMD_SIZE);
  return young;
}

/** Clears a pmd and returns the old one; no flush (arch/x86/include/asm/pgtable.h: pmdp_huge_get_and_clear()). */
export function pmdp_huge_get_and_clear(m: Machine, mm: mm_struct, addr: number, pmdt: ptdesc, pi: number): number {
  const pmd = pmdt.entry[pi];
  pmdt.entry[pi] = 0;
  return pmd;
}

/**
 * Clears a pmd during a zap and returns the old one; no flush
 * (include/linux/pgtable.h: pmdp_huge_get_and_clear_full()).
 */
export function pmdp_huge_get_and_clear_full(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pmdt: ptdesc,
  pi: number,
  _full: boolean,
): number {
  return pmdp_huge_get_and_clear(m, vma.vm_mm, addr, pmdt, pi);
}

/** Clears the write bit; no flush (arch/x86/include/asm/pgtable.h: pmdp_set_wrprotect()). */
export function pmdp_set_wrprotect(m: Machine, mm: mm_struct, addr: number, pmdt: ptdesc, pi: number): void {
  pmdt.entry[pi] = pmd_wrprotect(pmdt.entry[pi]);
}

/**
 * Invalidates a pmd so that the hardware cannot set its accessed and dirty bits; no flush
 * (arch/x86/mm/pgtable.c: pmdp_invalidate_ad()).
 */
export function pmdp_invalidate_ad(m: Machine, vma: vm_area_struct, address: number, pmdt: ptdesc, pi: number): number {
  WARN_ON_ONCE(m, !pmd_present(pmdt.entry[pi]), 'pmdp_invalidate_ad');
  return pmdp_establish(m, vma, address, pmdt, pi, pmd_mkinvalid(pmdt.entry[pi]));
}

/**
 * Returns true if the change of a huge pmd leaves translations that permit too much
 * (arch/x86/include/asm/tlbflush.h: huge_pmd_needs_flush()).
 */
export function huge_pmd_needs_flush(oldpmd: number, newpmd: number): boolean {
  if ((oldpmd & _PAGE_PRESENT) === 0) return false;
  if (pmd_pfn(oldpmd) !== pmd_pfn(newpmd)) return true;
  const diff = oldpmd ^ newpmd;
  if (diff & oldpmd & (_PAGE_DIRTY | _PAGE_PRESENT | _PAGE_ACCESSED)) return true;
  return (diff & (_PAGE_RW | _PAGE_USER | _PAGE_PROTNONE | _PAGE_PSE | _PAGE_NX)) !== 0;
}

/** Returns a huge mapping of the folio with the given protection (include/linux/mm.h: folio_mk_pmd()). */
export function folio_mk_pmd(m: Machine, folio: number, prot: number): number {
  return pfn_pte(m.page.page_to_pfn(folio), prot | _PAGE_PSE);
}

/** Returns the first page that a present huge pmd maps (arch/x86/include/asm/pgtable.h: pmd_page()). */
export function pmd_page(m: Machine, pmd: number): number {
  return m.page.pfn_to_page(pmd_pfn(pmd));
}
