// SPDX-License-Identifier: GPL-2.0-only

import {
  HPAGE_PMD_SIZE,
  pmd_is_table,
  pmd_present,
  pmd_trans_huge,
  type ptdesc,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import { pmd_mkinvalid, pmdp_establish, pmdp_huge_get_and_clear } from '../arch/x86/mm/pgtable/pmd.ts';
import {
  flush_pmd_tlb_range,
  flush_tlb_page,
  flush_tlb_range,
  pte_accessible,
  ptep_get_and_clear,
} from '../arch/x86/mm/tlb.ts';
import type { Machine } from '../machine.ts';
import { done, type Gen } from '../kernel/gen.ts';
import { spin_lock, spin_trylock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import type { mm_struct, vm_area_struct } from './mm_types.ts';

/** Returns the pte table that the pmd points to, or null (mm/pgtable-generic.c: __pte_offset_map()). */
export function pte_offset_map(m: Machine, pmdt: ptdesc, pi: number): ptdesc | null {
  return pmd_is_table(pmdt.entry[pi]) ? ((pmdt.child as (ptdesc | null)[])[pi] ?? null) : null;
}

/** pte_offset_map() whose caller may take pt.ptl later (mm/pgtable-generic.c: pte_offset_map_ro_nolock()). */
export function pte_offset_map_ro_nolock(
  m: Machine,
  mm: mm_struct,
  pmdt: ptdesc,
  pi: number,
  _addr: number,
): ptdesc | null {
  return pte_offset_map(m, pmdt, pi);
}

/**
 * pte_offset_map() whose caller takes pt.ptl and then checks that the pmd is unchanged (mm/pgtable-generic.c:
 * pte_offset_map_rw_nolock()).
 */
export function pte_offset_map_rw_nolock(
  m: Machine,
  mm: mm_struct,
  pmdt: ptdesc,
  pi: number,
  _addr: number,
): ptdesc | null {
  return pte_offset_map(m, pmdt, pi);
}

/**
 * Returns the pte table that the pmd points to with its lock held, or null (mm/pgtable-generic.c:
 * pte_offset_map_lock()).
 */
export function pte_offset_map_lock(
  m: Machine,
  mm: mm_struct,
  pmdt: ptdesc,
  pi: number,
  _addr: number,
): Gen<ptdesc | null> {
  if (m.sched.explore) return pte_offset_map_lock_slowpath(m, pmdt, pi);
  const pt = pte_offset_map(m, pmdt, pi);
  if (pt !== null && !spin_trylock(m, pt.ptl)) return pte_offset_map_lock_slowpath(m, pmdt, pi);
  return done(pt);
}

/** The part of pte_offset_map_lock() that may wait. NON-KERNEL. */
function* pte_offset_map_lock_slowpath(m: Machine, pmdt: ptdesc, pi: number): Gen<ptdesc | null> {
  for (;;) {
    const pmdval = pmdt.entry[pi];
    const pt = pte_offset_map(m, pmdt, pi);
    if (pt === null) return null;
    yield* spin_lock(m, pt.ptl);
    if (pmdt.entry[pi] === pmdval) return pt;
    spin_unlock(m, pt.ptl);
  }
}

/**
 * Deposits a page table for a later split of a huge pmd; the pmd lock is held (mm/pgtable-generic.c:
 * pgtable_trans_huge_deposit()).
 */
export function pgtable_trans_huge_deposit(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, pgtable: ptdesc): void {
  BUG_ON(pmdt.ptl.owner === null, 'mm/pgtable-generic.c: pgtable_trans_huge_deposit() without the pmd lock');
  pmdt.pmd_huge_pte.push(pgtable);
}

/**
 * Withdraws the page table deposited last; the pmd lock is held (mm/pgtable-generic.c: pgtable_trans_huge_withdraw()).
 */
export function pgtable_trans_huge_withdraw(m: Machine, mm: mm_struct, pmdt: ptdesc, _pi: number): ptdesc {
  BUG_ON(pmdt.ptl.owner === null, 'mm/pgtable-generic.c: pgtable_trans_huge_withdraw() without the pmd lock');
  const pt = pmdt.pmd_huge_pte.pop();
  BUG_ON(pt === undefined, 'mm/pgtable-generic.c: pgtable_trans_huge_withdraw() with nothing deposited');
  return pt as ptdesc;
}

/**
 * Clears a huge pmd and flushes its TLB entries; returns the old pmd (mm/pgtable-generic.c: pmdp_huge_clear_flush()).
 */
export function pmdp_huge_clear_flush(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
): number {
  const old = pmdt.entry[pi];
  BUG_ON(address % HPAGE_PMD_SIZE !== 0, 'mm/pgtable-generic.c: pmdp_huge_clear_flush()');
  BUG_ON(pmd_present(old) && !pmd_trans_huge(old), 'mm/pgtable-generic.c: pmdp_huge_clear_flush()');
  const pmd = pmdp_huge_get_and_clear(m, vma.vm_mm, address, pmdt, pi);
  flush_pmd_tlb_range(m, vma, address, address + HPAGE_PMD_SIZE);
  return pmd;
}

/**
 * Makes a huge pmd non-present for the hardware and flushes its TLB entries; returns the old pmd (mm/pgtable-generic.c:
 * pmdp_invalidate()).
 */
export function pmdp_invalidate(m: Machine, vma: vm_area_struct, address: number, pmdt: ptdesc, pi: number): number {
  WARN_ON_ONCE(m, !pmd_present(pmdt.entry[pi]), 'pmdp_invalidate');
  const old = pmdp_establish(m, vma, address, pmdt, pi, pmd_mkinvalid(pmdt.entry[pi]));
  flush_pmd_tlb_range(m, vma, address, address + HPAGE_PMD_SIZE);
  return old;
}

/**
 * Clears a pmd that points to a page table, which the caller keeps, and flushes the TLB entries of its ptes; returns
 * the old pmd (mm/pgtable-generic.c: pmdp_collapse_flush()).
 */
export function pmdp_collapse_flush(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
): number {
  BUG_ON(address % HPAGE_PMD_SIZE !== 0, 'mm/pgtable-generic.c: pmdp_collapse_flush()');
  BUG_ON(pmd_trans_huge(pmdt.entry[pi]), 'mm/pgtable-generic.c: pmdp_collapse_flush()');
  const pmd = pmdp_huge_get_and_clear(m, vma.vm_mm, address, pmdt, pi);
  (pmdt.child as (ptdesc | null)[])[pi] = null;
  flush_tlb_range(m, vma, address, address + HPAGE_PMD_SIZE);
  return pmd;
}

/** Clears the pte and flushes its TLB entry; returns the old pte (mm/pgtable-generic.c: ptep_clear_flush()). */
export function ptep_clear_flush(m: Machine, vma: vm_area_struct, addr: number, pt: ptdesc, i: number): number {
  const pte = ptep_get_and_clear(m, vma.vm_mm, addr, pt, i);
  if (pte_accessible(vma.vm_mm, pte)) flush_tlb_page(m, vma, addr);
  return pte;
}
