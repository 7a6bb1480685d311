// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../../machine.ts';
import type { mm_struct, vm_area_struct } from '../../../../mm/mm_types.ts';
import { folio_nr_pages, folio_pfn } from '../../../../mm/page.ts';
import { PAGE_SIZE } from '../../../../mm/physmem.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_RW,
  _PAGE_SOFT_DIRTY,
  type ptdesc,
  pte_advance_pfn,
  pte_clear_flags,
  pte_dirty,
  pte_mkdirty,
  pte_mkold,
  pte_mkwrite,
  pte_mkyoung,
  pte_pfn,
  pte_write,
  pte_wrprotect,
  pte_young,
} from './pgtable.ts';

// Reads and writes of ptes. None of these functions flushes the TLB unless its name says so.

/** Writes a pte (include/linux/pgtable.h: set_pte_at()). */
export function set_pte_at(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number, pte: number): void {
  pt.entry[i] = pte;
}

/** Writes nr ptes that map consecutive pages (include/linux/pgtable.h: set_ptes()). */
export function set_ptes(
  m: Machine,
  mm: mm_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  pte: number,
  nr: number,
): void {
  for (let k = 0; k < nr; k++) pt.entry[i + k] = pte_advance_pfn(pte, k);
}

/** Clears a pte (arch/x86/include/asm/pgtable.h: pte_clear()). */
export function pte_clear(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number): void {
  pt.entry[i] = 0;
}

/** Clears nr non-present ptes (include/linux/pgtable.h: clear_nonpresent_ptes()). */
export function clear_nonpresent_ptes(
  _m: Machine,
  _mm: mm_struct,
  _addr: number,
  pt: ptdesc,
  i: number,
  nr: number,
): void {
  pt.entry.fill(0, i, i + nr);
}

/**
 * Makes a pte more permissive. Returns true if it differs. Like x86, writes the pte only if `dirty`, since the hardware
 * sets the accessed bit itself (arch/x86/mm/pgtable.c: ptep_set_access_flags()).
 */
export function ptep_set_access_flags(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pt: ptdesc,
  i: number,
  entry: number,
  dirty: boolean,
): boolean {
  const changed = pt.entry[i] !== entry;
  if (changed && dirty) pt.entry[i] = entry;
  return changed;
}

/** Clears the accessed bit and returns its old value (arch/x86/mm/pgtable.c: ptep_test_and_clear_young()). */
export function ptep_test_and_clear_young(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
): boolean {
  const pte = pt.entry[i];
  if (!pte_young(pte)) return false;
  pt.entry[i] = pte_mkold(pte);
  return true;
}

/**
 * Clears the accessed bits of nr ptes. Returns true if any was set
 * (include/linux/pgtable.h: test_and_clear_young_ptes()).
 */
export function test_and_clear_young_ptes(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  nr: number,
): boolean {
  let young = false;
  for (let k = 0; k < nr; k++) young = ptep_test_and_clear_young(m, vma, addr + k * PAGE_SIZE, pt, i + k) || young;
  return young;
}

export { test_and_clear_young_ptes as clear_flush_young_ptes };

/** Clears the write bit (arch/x86/include/asm/pgtable.h: ptep_set_wrprotect()). */
export function ptep_set_wrprotect(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number): void {
  pt.entry[i] = pte_wrprotect(pt.entry[i]);
}

/** Clears the write bits of nr ptes (include/linux/pgtable.h: wrprotect_ptes()). */
export function wrprotect_ptes(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number, nr: number): void {
  for (let k = 0; k < nr; k++) ptep_set_wrprotect(m, mm, addr, pt, i + k);
}

/**
 * Clears a pte and returns the old one; `full` if the whole mm goes
 * (include/linux/pgtable.h: ptep_get_and_clear_full()).
 */
export function ptep_get_and_clear_full(
  m: Machine,
  mm: mm_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  _full: boolean,
): number {
  const pte = pt.entry[i];
  pt.entry[i] = 0;
  return pte;
}

/**
 * Clears nr ptes of one folio. Returns the first with the dirty and accessed bits of all
 * (include/linux/pgtable.h: get_and_clear_full_ptes()).
 */
export function get_and_clear_full_ptes(
  m: Machine,
  mm: mm_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  nr: number,
  full: boolean,
): number {
  let pte = ptep_get_and_clear_full(m, mm, addr, pt, i, full);
  for (let k = 1; k < nr; k++) {
    const other = ptep_get_and_clear_full(m, mm, addr, pt, i + k, full);
    if (pte_dirty(other)) pte = pte_mkdirty(pte);
    if (pte_young(other)) pte = pte_mkyoung(pte);
  }
  return pte;
}

/**
 * Clears nr ptes of one folio. Returns the first with the dirty and accessed bits of all
 * (include/linux/pgtable.h: get_and_clear_ptes()).
 */
export function get_and_clear_ptes(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number, nr: number): number {
  return get_and_clear_full_ptes(m, mm, addr, pt, i, nr, false);
}

/** Clears nr present ptes of one folio (include/linux/pgtable.h: clear_full_ptes()). */
export function clear_full_ptes(
  m: Machine,
  mm: mm_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  nr: number,
  _full: boolean,
): void {
  pt.entry.fill(0, i, i + nr);
}

/** Clears nr present ptes of one folio (include/linux/pgtable.h: clear_ptes()). */
export function clear_ptes(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number, nr: number): void {
  clear_full_ptes(m, mm, addr, pt, i, nr, false);
}

/** Starts a change of protection of nr ptes of one folio (include/linux/pgtable.h: modify_prot_start_ptes()). */
export function modify_prot_start_ptes(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  nr: number,
): number {
  return get_and_clear_full_ptes(m, vma.vm_mm, addr, pt, i, nr, false);
}

/** Ends a change of protection of nr ptes of one folio (include/linux/pgtable.h: modify_prot_commit_ptes()). */
export function modify_prot_commit_ptes(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  old_pte: number,
  pte: number,
  nr: number,
): void {
  set_ptes(m, vma.vm_mm, addr, pt, i, pte, nr);
}

export const CYDP_CLEAR_YOUNG = 1;
export const CYDP_CLEAR_DIRTY = 2;

/** Clears the accessed or dirty bits (CYDP_*) of nr ptes (include/linux/pgtable.h: clear_young_dirty_ptes()). */
export function clear_young_dirty_ptes(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  nr: number,
  flags: number,
): void {
  const off = (flags & CYDP_CLEAR_YOUNG ? _PAGE_ACCESSED : 0) | (flags & CYDP_CLEAR_DIRTY ? _PAGE_DIRTY : 0);
  for (let k = i; k < i + nr; k++) pt.entry[k] = pte_clear_flags(pt.entry[k], off);
}

export const FPB_RESPECT_DIRTY = 1 << 0;
export const FPB_RESPECT_SOFT_DIRTY = 1 << 1;
export const FPB_RESPECT_WRITE = 1 << 2;
export const FPB_MERGE_WRITE = 1 << 3;
export const FPB_MERGE_YOUNG_DIRTY = 1 << 4;

/**
 * Returns how many ptes from (pt, i) on, at most max_nr, map consecutive pages of the large folio with the same bits.
 * `ptent.pte` is the first one and collects the bits of the others as FPB_MERGE_* ask
 * (mm/internal.h: folio_pte_batch_flags()).
 */
export function folio_pte_batch_flags(
  m: Machine,
  folio: number,
  vma: vm_area_struct | null,
  pt: ptdesc,
  i: number,
  ptent: { pte: number },
  max_nr: number,
  flags: number,
): number {
  const first = ptent.pte;
  const ignored =
    _PAGE_ACCESSED |
    (flags & FPB_RESPECT_DIRTY ? 0 : _PAGE_DIRTY) |
    (flags & FPB_RESPECT_SOFT_DIRTY ? 0 : _PAGE_SOFT_DIRTY) |
    (flags & FPB_RESPECT_WRITE ? 0 : _PAGE_RW);
  max_nr = Math.min(max_nr, folio_pfn(m, folio) + folio_nr_pages(m, folio) - pte_pfn(first));
  const expected = pte_clear_flags(first, ignored);
  let writable = false;
  let young = false;
  let dirty = false;
  let nr = 1;
  while (nr < max_nr) {
    const pte = pt.entry[i + nr];
    if (pte_clear_flags(pte, ignored) !== pte_advance_pfn(expected, nr)) break;
    writable = writable || pte_write(pte);
    young = young || pte_young(pte);
    dirty = dirty || pte_dirty(pte);
    nr++;
  }
  if (writable && flags & FPB_MERGE_WRITE) ptent.pte = pte_mkwrite(ptent.pte);
  if (flags & FPB_MERGE_YOUNG_DIRTY) {
    if (young) ptent.pte = pte_mkyoung(ptent.pte);
    if (dirty) ptent.pte = pte_mkdirty(ptent.pte);
  }
  return Math.min(nr, max_nr);
}
