// SPDX-License-Identifier: GPL-2.0-only

import {
  ALIGN_DOWN,
  HPAGE_PMD_NR,
  pgd_index,
  PGDIR_SIZE,
  pmd_index,
  pmd_is_table,
  pmd_pfn,
  pmd_present,
  PMD_SIZE,
  pmd_trans_huge,
  type ptdesc,
  pte_index,
  pte_none,
  pte_pfn,
  pte_present,
  pud_index,
  PUD_SIZE,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../machine.ts';
import { EFAULT } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { spin_lock, spin_trylock, spin_unlock, type spinlock } from '../kernel/locking/spinlock.ts';
import { WARN_ON_ONCE } from '../kernel/printk.ts';
import { preempt_point } from '../kernel/sched/core.ts';
import { PVMW_DEVICE_PRIVATE } from './device_private.ts';
import { hstate_vma, huge_page_size, pages_per_huge_page } from './hugetlb/pool.ts';
import { huge_pte_index, huge_pte_lock, huge_pte_offset, huge_ptep_get } from './hugetlb/vma.ts';
import {
  pmd_is_device_private_entry,
  pmd_is_migration_entry,
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_is_device_exclusive,
  softleaf_is_device_private,
  softleaf_is_migration,
  softleaf_to_pfn,
} from './leafops.ts';
import { is_vm_hugetlb_page, type vm_area_struct } from './mm_types.ts';
import { folio_nr_pages, folio_test_anon, page_folio } from './page.ts';
import { PAGE_SIZE } from './physmem.ts';
import { folio_pgoff, page_pgoff, vma_anon_address, vma_filebacked_address } from './rmap/rmap.ts';

/** take the page-table lock instead of relying on a lockless read */
export const PVMW_SYNC = 1;
/** find migration entries instead of mappings */
export const PVMW_MIGRATION = 2;
/** set by the walk: the ptes are in more than one table */
const PVMW_PGTABLE_CROSSED = 1 << 16;

/** State of a walk over one vma's mappings of a pfn range (include/linux/rmap.h: struct page_vma_mapped_walk). */
export interface page_vma_mapped_walk {
  pfn: number;
  nr_pages: number;
  /** offset of the first page in its object, in pages */
  pgoff: number;
  vma: vm_area_struct;
  address: number;
  /** the pmd table, null before the first step */
  pmdt: ptdesc | null;
  /** index of the pmd entry in pmdt */
  pi: number;
  /** the pte table, null for a pmd mapping; for hugetlb the table of whichever level */
  pte: ptdesc | null;
  ptei: number;
  /** the lock held, or null */
  ptl: spinlock | null;
  /** PVMW_* */
  flags: number;
  pgoff_is_anon: boolean;
}

/** Returns the PVMW_* flags of a walk for the folio. NON-KERNEL (20260202113642.59295-1: page_vma_walk_flags()). */
function page_vma_walk_flags(m: Machine, folio: number, flags: number): number {
  return m.device_private.by_offset(folio) ? flags | m.device_private.pvmw_flag : flags;
}

/**
 * Returns a walk over the folio's mappings in the vma from `address` on (include/linux/rmap.h:
 * DEFINE_FOLIO_VMA_WALK()).
 */
export function DEFINE_FOLIO_VMA_WALK(
  m: Machine,
  folio: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
): page_vma_mapped_walk {
  const space = m.device_private;
  return {
    pfn: space.page_number(folio),
    nr_pages: folio_nr_pages(m, folio),
    pgoff: folio_pgoff(m, folio),
    vma,
    address,
    pmdt: null,
    pi: 0,
    pte: null,
    ptei: 0,
    ptl: null,
    flags: page_vma_walk_flags(m, folio, flags),
    pgoff_is_anon: folio_test_anon(m, folio),
  };
}

/** Ends a walk early and unlocks (include/linux/rmap.h: page_vma_mapped_walk_done()). */
export function page_vma_mapped_walk_done(m: Machine, pvmw: page_vma_mapped_walk): void {
  if (pvmw.ptl !== null) spin_unlock(m, pvmw.ptl);
}

/**
 * Ends the walk of a single page's pte mapping, which has no second entry in the vma. Returns false, and leaves the
 * walk as it is, for any other walk. NON-KERNEL: saves a generator for every 4 KiB page that migrates.
 */
export function page_vma_mapped_walk_last(m: Machine, pvmw: page_vma_mapped_walk): boolean {
  if (pvmw.nr_pages !== 1 || pvmw.pte === null || is_vm_hugetlb_page(pvmw.vma)) return false;
  page_vma_mapped_walk_done(m, pvmw);
  return true;
}

/** Unlocks and makes the walk look at the same address again (include/linux/rmap.h: page_vma_mapped_walk_restart()). */
export function page_vma_mapped_walk_restart(m: Machine, pvmw: page_vma_mapped_walk): void {
  WARN_ON_ONCE(m, pvmw.pmdt === null && pvmw.pte === null, 'page_vma_mapped_walk_restart', 'position');
  if (pvmw.ptl !== null) spin_unlock(m, pvmw.ptl);
  else WARN_ON_ONCE(m, true, 'page_vma_mapped_walk_restart', 'lock');
  pvmw.ptl = null;
  pvmw.pmdt = null;
  pvmw.pte = null;
}

/** Returns the address at which the walk ends (mm/internal.h: vma_address_end()). */
export function vma_address_end(pvmw: page_vma_mapped_walk): number {
  if (pvmw.nr_pages === 1) return pvmw.address + PAGE_SIZE;
  const vma = pvmw.vma;
  const pgoff_vma_start = pvmw.pgoff_is_anon ? vma.vm_anon_pgoff : vma.vm_pgoff;
  const address = vma.vm_start + (pvmw.pgoff + pvmw.nr_pages - pgoff_vma_start) * PAGE_SIZE;
  return address < vma.vm_start || address > vma.vm_end ? vma.vm_end : address;
}

/** mm/page_vma_mapped.c: not_found() */
function not_found(m: Machine, pvmw: page_vma_mapped_walk): boolean {
  page_vma_mapped_walk_done(m, pvmw);
  return false;
}

/** Locks without a generator if the lock is free and nothing is explored. NON-KERNEL. */
function* lock_ptl(m: Machine, ptl: spinlock): Gen<void> {
  if (m.sched.explore || !spin_trylock(m, ptl)) yield* spin_lock(m, ptl);
}

/** Returns true if [pfn, pfn+nr) intersects the walk's pfns. NON-KERNEL: check_pte() and check_pmd() do it in place. */
function pfn_in_walk(pvmw: page_vma_mapped_walk, pfn: number, nr: number): boolean {
  return pfn + nr - 1 >= pvmw.pfn && pfn <= pvmw.pfn + pvmw.nr_pages - 1;
}

/**
 * Returns true if entry and walk both have pfns or both have offsets; equal numbers of different kinds are different
 * pages. NON-KERNEL (device-private-offsets).
 */
function same_space(m: Machine, pvmw: page_vma_mapped_walk, entry: number): boolean {
  const { pvmw_flag } = m.device_private;
  return pvmw_flag === 0 || m.device_private.entry_by_offset(entry) === ((pvmw.flags & pvmw_flag) !== 0);
}

/** Checks a pte that maps pte_nr pages against the walk (mm/page_vma_mapped.c: check_pte()). */
function check_entry(m: Machine, pvmw: page_vma_mapped_walk, ptent: number, pte_nr: number): boolean {
  if (pte_present(ptent)) {
    return (pvmw.flags & (PVMW_MIGRATION | PVMW_DEVICE_PRIVATE)) === 0 && pfn_in_walk(pvmw, pte_pfn(ptent), pte_nr);
  }
  const entry = softleaf_from_pte(ptent);
  const wanted =
    pvmw.flags & PVMW_MIGRATION
      ? softleaf_is_migration(entry)
      : softleaf_is_device_private(entry) || softleaf_is_device_exclusive(entry);
  return wanted && same_space(m, pvmw, entry) && pfn_in_walk(pvmw, softleaf_to_pfn(m, entry), pte_nr);
}

/** check_entry() of the walk's current pte (mm/page_vma_mapped.c: check_pte()). */
function check_pte(m: Machine, pvmw: page_vma_mapped_walk): boolean {
  return check_entry(m, pvmw, (pvmw.pte as ptdesc).entry[pvmw.ptei], 1);
}

/** mm/page_vma_mapped.c: check_pmd() */
function check_pmd(m: Machine, pmde: number, pvmw: page_vma_mapped_walk): boolean {
  if (pmd_present(pmde))
    return (pvmw.flags & PVMW_DEVICE_PRIVATE) === 0 && pfn_in_walk(pvmw, pmd_pfn(pmde), HPAGE_PMD_NR);
  const entry = softleaf_from_pmd(pmde);
  return same_space(m, pvmw, entry) && pfn_in_walk(pvmw, softleaf_to_pfn(m, entry), HPAGE_PMD_NR);
}

/** Returns false if a lockless read already rules the pte out (mm/page_vma_mapped.c: map_pte()). */
function maybe_wanted(pvmw: page_vma_mapped_walk, ptent: number): boolean {
  if (pte_none(ptent)) return false;
  const is_migration = (pvmw.flags & PVMW_MIGRATION) !== 0;
  if (pte_present(ptent)) return !is_migration;
  if (is_migration) return true;
  const entry = softleaf_from_pte(ptent);
  return softleaf_is_device_private(entry) || softleaf_is_device_exclusive(entry);
}

/**
 * The hugetlb part of page_vma_mapped_walk(), which has at most one entry (mm/page_vma_mapped.c:
 * page_vma_mapped_walk()).
 */
function* walk_hugetlb(m: Machine, pvmw: page_vma_mapped_walk): Gen<boolean> {
  const vma = pvmw.vma;
  if (pvmw.pte !== null) return not_found(m, pvmw);
  const h = hstate_vma(m, vma);
  pvmw.pte = huge_pte_offset(m, vma.vm_mm, pvmw.address, huge_page_size(h));
  if (pvmw.pte === null) return false;
  pvmw.ptei = huge_pte_index(h, pvmw.address);
  pvmw.ptl = yield* huge_pte_lock(m, h, vma.vm_mm, pvmw.pte);
  if (!check_entry(m, pvmw, huge_ptep_get(m, vma.vm_mm, pvmw.address, pvmw.pte, pvmw.ptei), pages_per_huge_page(h)))
    return not_found(m, pvmw);
  return true;
}

/**
 * Moves to the next entry that maps one of the walk's pages, with PVMW_MIGRATION to its next migration entry. Returns
 * true with the page-table lock held, or false, unlocked, at the end. pte is null for a pmd mapping
 * (mm/page_vma_mapped.c: page_vma_mapped_walk()).
 */
export function* page_vma_mapped_walk(m: Machine, pvmw: page_vma_mapped_walk): Gen<boolean> {
  const vma = pvmw.vma;
  const mm = vma.vm_mm;
  if (pvmw.pmdt !== null && pvmw.pte === null) return not_found(m, pvmw);
  if (is_vm_hugetlb_page(vma)) return yield* walk_hugetlb(m, pvmw);

  const end = vma_address_end(pvmw);
  let next_pte = pvmw.pte !== null;
  let ptl: spinlock | null = pvmw.ptl;
  let pmde = 0;
  restart: for (;;) {
    if (!next_pte) {
      // step_forward() over whatever has no pmd table.
      let step = PMD_SIZE;
      let pmdt: ptdesc | null = null;
      const pud_table = (mm.pgd.child as (ptdesc | null)[])[pgd_index(pvmw.address)] ?? null;
      if (pud_table === null) step = PGDIR_SIZE;
      else {
        pmdt = (pud_table.child as (ptdesc | null)[])[pud_index(pvmw.address)] ?? null;
        if (pmdt === null) step = PUD_SIZE;
      }
      if (pmdt === null) {
        pvmw.address = ALIGN_DOWN(pvmw.address + step, step);
        if (pvmw.address >= end) return false;
        continue;
      }
      if (m.sched.explore) yield* preempt_point(m, 'page_vma_mapped_walk');
      const pi = pmd_index(pvmw.address);
      pvmw.pmdt = pmdt;
      pvmw.pi = pi;
      pmde = pmdt.entry[pi];
      let skip = false;
      if (pmd_is_device_private_entry(pmde) && m.patch.walk_stops_at_private_pmd) {
        yield* lock_ptl(m, pmdt.ptl);
        pvmw.ptl = pmdt.ptl;
        return true;
      }
      if (pmd_trans_huge(pmde) || pmd_is_migration_entry(pmde) || pmd_is_device_private_entry(pmde)) {
        yield* lock_ptl(m, pmdt.ptl);
        pvmw.ptl = pmdt.ptl;
        pmde = pmdt.entry[pi];
        const migration = (pvmw.flags & PVMW_MIGRATION) !== 0;
        if (pmd_is_migration_entry(pmde)) {
          if (migration && check_pmd(m, pmde, pvmw)) return true;
          skip = true;
        } else if (pmd_is_device_private_entry(pmde)) {
          if (!migration && check_pmd(m, pmde, pvmw)) return true;
          skip = true;
        } else if (pmd_trans_huge(pmde)) {
          if (!migration && check_pmd(m, pmde, pvmw)) return true;
          skip = true;
        } else if (!pmd_present(pmde)) {
          skip = true;
        } else {
          // The huge pmd was split under us: handle its ptes.
          spin_unlock(m, pmdt.ptl);
          pvmw.ptl = null;
        }
      } else if (!pmd_is_table(pmde)) {
        if ((pvmw.flags & PVMW_SYNC) !== 0 && pvmw.nr_pages >= HPAGE_PMD_NR && pmd_fits(vma, pvmw.address)) {
          yield* lock_ptl(m, pmdt.ptl);
          spin_unlock(m, pmdt.ptl);
        }
        skip = true;
      }
      if (!skip) {
        const found = map_pte_fast(m, pvmw, pmdt, pi) ?? (yield* map_pte(m, pvmw, pmdt, pi));
        if (pvmw.pte === null) continue;
        ptl = pvmw.pte.ptl;
        pmde = pmdt.entry[pi];
        if (found && check_pte(m, pvmw)) return true;
      } else {
        if (pvmw.ptl !== null) spin_unlock(m, pvmw.ptl);
        pvmw.ptl = null;
        pvmw.pmdt = null;
        pvmw.address = ALIGN_DOWN(pvmw.address + PMD_SIZE, PMD_SIZE);
        if (pvmw.address >= end) return false;
        continue;
      }
    }
    next_pte = false;
    for (;;) {
      const pt = pvmw.pte as ptdesc;
      do {
        pvmw.address += PAGE_SIZE;
        if (pvmw.address >= end) return not_found(m, pvmw);
        if (pte_index(pvmw.address) === 0) {
          if (pvmw.ptl !== null) spin_unlock(m, pvmw.ptl);
          pvmw.ptl = null;
          pvmw.pte = null;
          pvmw.flags |= PVMW_PGTABLE_CROSSED;
          continue restart;
        }
        pvmw.ptei++;
      } while (pte_none(pt.entry[pvmw.ptei]));
      if (pvmw.ptl === null) {
        yield* lock_ptl(m, ptl as spinlock);
        if ((pvmw.pmdt as ptdesc).entry[pvmw.pi] !== pmde) {
          spin_unlock(m, ptl as spinlock);
          pvmw.pte = null;
          continue restart;
        }
        pvmw.ptl = ptl;
      }
      if (check_pte(m, pvmw)) return true;
    }
  }
}

/**
 * Returns the address at which the vma maps the page, which may be any page of a folio, or -EFAULT
 * (mm/page_vma_mapped.c: page_mapped_in_vma()).
 */
export function* page_mapped_in_vma(m: Machine, page: number, vma: vm_area_struct): Gen<number> {
  const folio = page_folio(m, page);
  const pgoff = page_pgoff(m, folio, page);
  const address = folio_test_anon(m, folio) ? vma_anon_address(vma, pgoff, 1) : vma_filebacked_address(vma, pgoff, 1);
  if (address < 0) return -EFAULT;
  const pvmw = DEFINE_FOLIO_VMA_WALK(m, folio, vma, address, PVMW_SYNC);
  pvmw.nr_pages = 1;
  if (!m.patch.walks_for_first_page) pvmw.pfn = m.device_private.page_number(page);
  if (!(yield* page_vma_mapped_walk(m, pvmw))) return -EFAULT;
  page_vma_mapped_walk_done(m, pvmw);
  return pvmw.address;
}

/**
 * Returns true if the vma has room for a huge page around the address (include/linux/huge_mm.h:
 * thp_vma_suitable_order()). Leaves out the file offset's alignment.
 */
function pmd_fits(vma: vm_area_struct, address: number): boolean {
  const haddr = ALIGN_DOWN(address, PMD_SIZE);
  return haddr >= vma.vm_start && haddr + PMD_SIZE <= vma.vm_end;
}

/** map_pte() for a free lock; null if it might have to wait. NON-KERNEL: saves a generator. */
function map_pte_fast(m: Machine, pvmw: page_vma_mapped_walk, pmdt: ptdesc, pi: number): boolean | null {
  if (m.sched.explore) return null;
  const pt = pmd_is_table(pmdt.entry[pi]) ? ((pmdt.child as (ptdesc | null)[])[pi] ?? null) : null;
  if (pt === null || pt.ptl.owner !== null) return null;
  pvmw.pte = pt;
  pvmw.ptei = pte_index(pvmw.address);
  if ((pvmw.flags & PVMW_SYNC) === 0 && !maybe_wanted(pvmw, pt.entry[pvmw.ptei])) return false;
  spin_trylock(m, pt.ptl);
  pvmw.ptl = pt.ptl;
  return true;
}

/**
 * Finds the pte table of the walk's address and locks it. False, unlocked, if the table is gone (pte is null) or the
 * pte is not wanted (mm/page_vma_mapped.c: map_pte()).
 */
function* map_pte(m: Machine, pvmw: page_vma_mapped_walk, pmdt: ptdesc, pi: number): Gen<boolean> {
  for (;;) {
    const pmdval = pmdt.entry[pi];
    const pt = pmd_is_table(pmdval) ? ((pmdt.child as (ptdesc | null)[])[pi] ?? null) : null;
    pvmw.pte = pt;
    if (pt === null) return false;
    pvmw.ptei = pte_index(pvmw.address);
    if ((pvmw.flags & PVMW_SYNC) === 0) {
      if (m.sched.explore) yield* preempt_point(m, 'map_pte');
      if (!maybe_wanted(pvmw, pt.entry[pvmw.ptei])) return false;
    }
    yield* lock_ptl(m, pt.ptl);
    if (pmdt.entry[pi] === pmdval && (pmdt.child as (ptdesc | null)[])[pi] === pt) {
      pvmw.ptl = pt.ptl;
      return true;
    }
    spin_unlock(m, pt.ptl);
  }
}
