// SPDX-License-Identifier: GPL-2.0-only
// The part of mm/khugepaged.c that collapses the ptes of 2 MiB of anonymous memory into a huge page.

import { pmd_lock, pmd_populate, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  HPAGE_PMD_NR,
  HPAGE_PMD_ORDER,
  HPAGE_PMD_SIZE,
  pmd_index,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  type ptdesc,
  pte_none,
  pte_pfn,
  pte_present,
  pte_uffd,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { clear_ptes, pte_clear } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, folio_put_refs, lru_add_drain } from '../folio.ts';
import { map_anon_folio_pmd_nopf } from '../huge_memory/fault.ts';
import {
  count_mthp_stat,
  count_vm_event,
  MTHP_STAT_COLLAPSE_ALLOC,
  MTHP_STAT_COLLAPSE_ALLOC_FAILED,
  PMD_ORDER,
  thp_vma_allowable_orders,
  thp_vma_suitable_order,
  TVA_FORCED_COLLAPSE,
} from '../huge_memory/sysfs.ts';
import { pmd_is_migration_entry } from '../leafops.ts';
import { do_swap_page, is_zero_pfn, vm_normal_page } from '../memory/fault.ts';
import {
  add_mm_counter,
  type anon_vma,
  FAULT_FLAG_ALLOW_RETRY,
  MM_ANONPAGES,
  type mm_struct,
  MMF_DISABLE_THP,
  type vm_area_struct,
  vm_fault,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  vma_is_anonymous,
} from '../mm_types.ts';
import { find_vma } from '../mmap/find_vma.ts';
import { mmap_read_lock, mmap_read_unlock, mmap_write_lock, mmap_write_unlock, vma_start_write } from '../mmap_lock.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import { folio_mark_uptodate, folio_test_locked, folio_test_lru } from '../page-flags.ts';
import {
  folio_is_zone_device,
  folio_page,
  folio_ref_count,
  folio_test_anon,
  folio_test_large,
  list_add_tail,
  list_del,
  page_folio,
  page_to_pfn,
  PageList,
} from '../page.ts';
import { folio_alloc, GFP_TRANSHUGE } from '../page_alloc.ts';
import {
  pgtable_trans_huge_deposit,
  pmdp_collapse_flush,
  pte_offset_map_lock,
  pte_offset_map_ro_nolock,
} from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { anon_vma_lock_write, anon_vma_unlock_write } from '../rmap/anon_vma.ts';
import { folio_expected_ref_count, folio_remove_rmap_ptes, mm_find_pmd } from '../rmap/rmap.ts';
import { pte_swp_uffd_any } from '../userfaultfd/userfaultfd.ts';
import { folio_pte_batch } from '../util.ts';
import { folio_isolate_lru, folio_putback_lru } from '../vmscan.ts';

/** Result of a scan or collapse (mm/khugepaged.c: enum scan_result). */
export const scan_result = {
  SCAN_FAIL: 'SCAN_FAIL',
  SCAN_SUCCEED: 'SCAN_SUCCEED',
  SCAN_NO_PTE_TABLE: 'SCAN_NO_PTE_TABLE',
  SCAN_PMD_MAPPED: 'SCAN_PMD_MAPPED',
  SCAN_EXCEED_NONE_PTE: 'SCAN_EXCEED_NONE_PTE',
  SCAN_PTE_NON_PRESENT: 'SCAN_PTE_NON_PRESENT',
  SCAN_PTE_UFFD: 'SCAN_PTE_UFFD',
  SCAN_LACK_REFERENCED_PAGE: 'SCAN_LACK_REFERENCED_PAGE',
  SCAN_PAGE_NULL: 'SCAN_PAGE_NULL',
  SCAN_PAGE_COUNT: 'SCAN_PAGE_COUNT',
  SCAN_PAGE_LRU: 'SCAN_PAGE_LRU',
  SCAN_PAGE_LOCK: 'SCAN_PAGE_LOCK',
  SCAN_PAGE_ANON: 'SCAN_PAGE_ANON',
  SCAN_PAGE_COMPOUND: 'SCAN_PAGE_COMPOUND',
  SCAN_ANY_PROCESS: 'SCAN_ANY_PROCESS',
  SCAN_VMA_NULL: 'SCAN_VMA_NULL',
  SCAN_VMA_CHECK: 'SCAN_VMA_CHECK',
  SCAN_ADDRESS_RANGE: 'SCAN_ADDRESS_RANGE',
  SCAN_DEL_PAGE_LRU: 'SCAN_DEL_PAGE_LRU',
  SCAN_ALLOC_HUGE_PAGE_FAIL: 'SCAN_ALLOC_HUGE_PAGE_FAIL',
  SCAN_CGROUP_CHARGE_FAIL: 'SCAN_CGROUP_CHARGE_FAIL',
  SCAN_PAGE_FILLED: 'SCAN_PAGE_FILLED',
  SCAN_PAGE_HAS_PRIVATE: 'SCAN_PAGE_HAS_PRIVATE',
  SCAN_PAGE_DIRTY_OR_WRITEBACK: 'SCAN_PAGE_DIRTY_OR_WRITEBACK',
} as const;
type scan = (typeof scan_result)[keyof typeof scan_result];

/** State of a collapse (mm/khugepaged.c: struct collapse_control). */
export interface collapse_control {
  is_khugepaged: boolean;
  progress: number;
}

/** mm/khugepaged.c: pte_none_or_zero() */
function pte_none_or_zero(m: Machine, pte: number): boolean {
  return pte_none(pte) || (pte_present(pte) && is_zero_pfn(m, pte_pfn(pte)));
}

/** mm/khugepaged.c: release_pte_folio() */
function release_pte_folio(m: Machine, folio: number): void {
  folio_unlock(m, folio);
  folio_putback_lru(m, folio);
}

/** mm/khugepaged.c: release_pte_pages() */
function release_pte_pages(m: Machine, pt: ptdesc, end: number, compound_pagelist: PageList): void {
  for (let i = end - 1; i >= 0; i--) {
    const pteval = pt.entry[i];
    if (pte_none(pteval)) continue;
    WARN_ON_ONCE(m, !pte_present(pteval), 'release_pte_pages');
    const pfn = pte_pfn(pteval);
    if (is_zero_pfn(m, pfn)) continue;
    const folio = page_folio(m, m.page.pfn_to_page(pfn));
    if (!folio_test_large(m, folio)) release_pte_folio(m, folio);
  }
  while (compound_pagelist.first !== 0) {
    const folio = compound_pagelist.first;
    list_del(m, folio, compound_pagelist);
    release_pte_folio(m, folio);
  }
}

/** Returns true if the folio is on the list. NON-KERNEL: __collapse_huge_page_isolate() does it in place. */
function on_list(m: Machine, folio: number, list: PageList): boolean {
  for (let f = list.first; f !== 0; f = m.page.lru_next[f]) if (f === folio) return true;
  return false;
}

/**
 * Leaves out khugepaged's limits on empty, shared and unreferenced ptes, which MADV_COLLAPSE does not apply
 * (mm/khugepaged.c: __collapse_huge_page_isolate()).
 */
function __collapse_huge_page_isolate(
  m: Machine,
  vma: vm_area_struct,
  start_addr: number,
  pt: ptdesc,
  compound_pagelist: PageList,
): scan {
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const pteval = pt.entry[i];
    const fail = (result: scan): scan => {
      release_pte_pages(m, pt, i, compound_pagelist);
      return result;
    };
    if (pte_none_or_zero(m, pteval)) continue;
    if (!pte_present(pteval)) return fail(scan_result.SCAN_PTE_NON_PRESENT);
    if (pte_uffd(pteval)) return fail(scan_result.SCAN_PTE_UFFD);
    const page = vm_normal_page(m, vma, start_addr + i * PAGE_SIZE, pteval);
    if (page === 0 || folio_is_zone_device(m, page)) return fail(scan_result.SCAN_PAGE_NULL);
    const folio = page_folio(m, page);
    BUG_ON(!folio_test_anon(m, folio), 'mm/khugepaged.c: __collapse_huge_page_isolate()');
    if (folio_test_large(m, folio) && on_list(m, folio, compound_pagelist)) continue;
    if (!folio_trylock(m, folio)) return fail(scan_result.SCAN_PAGE_LOCK);
    if (folio_expected_ref_count(m, folio) !== folio_ref_count(m, folio)) {
      folio_unlock(m, folio);
      return fail(scan_result.SCAN_PAGE_COUNT);
    }
    if (!folio_isolate_lru(m, folio)) {
      folio_unlock(m, folio);
      return fail(scan_result.SCAN_DEL_PAGE_LRU);
    }
    if (folio_test_large(m, folio)) list_add_tail(m, folio, compound_pagelist);
  }
  return scan_result.SCAN_SUCCEED;
}

/** mm/khugepaged.c: __collapse_huge_page_copy_succeeded() */
function* __collapse_huge_page_copy_succeeded(
  m: Machine,
  pt: ptdesc,
  vma: vm_area_struct,
  start_addr: number,
  compound_pagelist: PageList,
): Gen<void> {
  const mm = vma.vm_mm;
  let nr_ptes = 1;
  for (let i = 0; i < HPAGE_PMD_NR; i += nr_ptes) {
    const address = start_addr + i * PAGE_SIZE;
    const pteval = pt.entry[i];
    nr_ptes = 1;
    if (pte_none_or_zero(m, pteval)) {
      add_mm_counter(mm, MM_ANONPAGES, 1);
      if (pte_none(pteval)) continue;
      yield* spin_lock(m, pt.ptl);
      pte_clear(m, mm, address, pt, i);
      spin_unlock(m, pt.ptl);
      continue;
    }
    const src_page = m.page.pfn_to_page(pte_pfn(pteval));
    const src = page_folio(m, src_page);
    if (folio_test_large(m, src)) nr_ptes = folio_pte_batch(m, src, pt, i, pteval, HPAGE_PMD_NR - i);
    else release_pte_folio(m, src);
    yield* spin_lock(m, pt.ptl);
    clear_ptes(m, mm, address, pt, i, nr_ptes);
    folio_remove_rmap_ptes(m, src, src_page, nr_ptes, vma);
    spin_unlock(m, pt.ptl);
    folio_put_refs(m, src, nr_ptes);
  }
  while (compound_pagelist.first !== 0) {
    const src = compound_pagelist.first;
    list_del(m, src, compound_pagelist);
    folio_unlock(m, src);
    folio_putback_lru(m, src);
  }
}

/** Leaves out machine checks while copying (mm/khugepaged.c: __collapse_huge_page_copy()). */
function* __collapse_huge_page_copy(
  m: Machine,
  pt: ptdesc,
  folio: number,
  vma: vm_area_struct,
  address: number,
  compound_pagelist: PageList,
): Gen<void> {
  const pfn = page_to_pfn(m, folio_page(folio, 0));
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const pteval = pt.entry[i];
    if (pte_none_or_zero(m, pteval)) m.ram.clear(pfn + i);
    else m.ram.copy(pfn + i, pte_pfn(pteval));
  }
  yield* __collapse_huge_page_copy_succeeded(m, pt, vma, address, compound_pagelist);
}

/**
 * Looks up the vma again after the mmap_lock was dropped and checks that a collapse is still possible (mm/khugepaged.c:
 * hugepage_vma_revalidate()).
 */
export function hugepage_vma_revalidate(
  m: Machine,
  mm: mm_struct,
  address: number,
  expect_anon: boolean,
  cc: collapse_control,
  order: number,
): { result: scan; vma: vm_area_struct | null } {
  if (cc.is_khugepaged) throw new Unmodelled('hugepage_vma_revalidate: khugepaged');
  if (mm.mm_users === 0 || (mm.flags & MMF_DISABLE_THP) !== 0)
    return { result: scan_result.SCAN_ANY_PROCESS, vma: null };
  const vma = find_vma(mm, address);
  if (vma === null) return { result: scan_result.SCAN_VMA_NULL, vma };
  if (!thp_vma_suitable_order(vma, address, PMD_ORDER)) return { result: scan_result.SCAN_ADDRESS_RANGE, vma };
  if (thp_vma_allowable_orders(m, vma, vma.vm_flags, TVA_FORCED_COLLAPSE, 1 << order) === 0)
    return { result: scan_result.SCAN_VMA_CHECK, vma };
  if (expect_anon && (vma.anon_vma === null || !vma_is_anonymous(vma)))
    return { result: scan_result.SCAN_PAGE_ANON, vma };
  return { result: scan_result.SCAN_SUCCEED, vma };
}

/** mm/khugepaged.c: find_pmd_or_thp_or_none(), mm/khugepaged.c: check_pmd_state() */
function find_pmd_or_thp_or_none(m: Machine, mm: mm_struct, address: number): { result: scan; pmdt: ptdesc | null } {
  const pmdt = mm_find_pmd(m, mm, address);
  if (pmdt === null) return { result: scan_result.SCAN_NO_PTE_TABLE, pmdt };
  const pmde = pmdt.entry[pmd_index(address)];
  let result: scan = scan_result.SCAN_SUCCEED;
  if (pmd_none(pmde)) result = scan_result.SCAN_NO_PTE_TABLE;
  else if (pmd_is_migration_entry(pmde)) result = scan_result.SCAN_PMD_MAPPED;
  else if (!pmd_present(pmde)) result = scan_result.SCAN_NO_PTE_TABLE;
  else if (pmd_trans_huge(pmde)) result = scan_result.SCAN_PMD_MAPPED;
  return { result, pmdt };
}

/**
 * Faults in non-present ptes, such as those of device memory. Drops the mmap_lock on failure (mm/khugepaged.c:
 * __collapse_huge_page_swapin()).
 */
function* __collapse_huge_page_swapin(
  m: Machine,
  mm: mm_struct,
  vma: vm_area_struct,
  start_addr: number,
  pmdt: ptdesc,
): Gen<scan> {
  const pi = pmd_index(start_addr);
  let swapped_in = 0;
  let pte: ptdesc | null = null;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const addr = start_addr + i * PAGE_SIZE;
    if (pte === null) {
      pte = pte_offset_map_ro_nolock(m, mm, pmdt, pi, addr);
      if (pte === null) {
        mmap_read_unlock(m, mm);
        return scan_result.SCAN_NO_PTE_TABLE;
      }
    }
    const orig_pte = pte.entry[i];
    if (pte_none(orig_pte) || pte_present(orig_pte)) continue;
    const vmf = new vm_fault(vma, addr, FAULT_FLAG_ALLOW_RETRY);
    vmf.pmdt = pmdt;
    vmf.orig_pte = orig_pte;
    vmf.pte = pte;
    const ret = yield* do_swap_page(m, vmf);
    pte = null;
    if (ret & VM_FAULT_RETRY) return scan_result.SCAN_PAGE_LOCK;
    if (ret & VM_FAULT_ERROR) {
      mmap_read_unlock(m, mm);
      return scan_result.SCAN_FAIL;
    }
    swapped_in++;
  }
  if (swapped_in > 0) lru_add_drain(m);
  return scan_result.SCAN_SUCCEED;
}

/**
 * The part of collapse_huge_page() after the allocation, entered and left without the mmap_lock. The caller frees a
 * folio that was not used (mm/khugepaged.c: collapse_huge_page()).
 */
function* __collapse_huge_page(
  m: Machine,
  mm: mm_struct,
  folio: number,
  pmd_addr: number,
  unmapped: number,
  cc: collapse_control,
): Gen<scan> {
  yield* mmap_read_lock(m, mm);
  let { result, vma } = hugepage_vma_revalidate(m, mm, pmd_addr, true, cc, HPAGE_PMD_ORDER);
  if (result !== scan_result.SCAN_SUCCEED || vma === null) {
    mmap_read_unlock(m, mm);
    return result;
  }
  const found = find_pmd_or_thp_or_none(m, mm, pmd_addr);
  const { pmdt } = found;
  if (found.result !== scan_result.SCAN_SUCCEED || pmdt === null) {
    mmap_read_unlock(m, mm);
    return found.result;
  }
  if (unmapped > 0) {
    result = yield* __collapse_huge_page_swapin(m, mm, vma, pmd_addr, pmdt);
    if (result !== scan_result.SCAN_SUCCEED) return result;
  }
  mmap_read_unlock(m, mm);

  yield* mmap_write_lock(m, mm);
  ({ result, vma } = hugepage_vma_revalidate(m, mm, pmd_addr, true, cc, HPAGE_PMD_ORDER));
  if (result !== scan_result.SCAN_SUCCEED || vma === null) {
    mmap_write_unlock(m, mm);
    return result;
  }
  yield* vma_start_write(m, vma);
  const again = find_pmd_or_thp_or_none(m, mm, pmd_addr);
  result = again.result;
  if (result === scan_result.SCAN_SUCCEED && again.pmdt !== pmdt) result = scan_result.SCAN_FAIL;
  if (result !== scan_result.SCAN_SUCCEED) {
    mmap_write_unlock(m, mm);
    return result;
  }

  const av = vma.anon_vma as anon_vma;
  yield* anon_vma_lock_write(m, av);
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, pmd_addr, pmd_addr + HPAGE_PMD_SIZE);
  yield* mmu_notifier_invalidate_range_start(m, range);
  const pi = pmd_index(pmd_addr);
  const compound_pagelist = new PageList();
  yield* pmd_lock(m, mm, pmdt);
  const pgtable = (pmdt.child as (ptdesc | null)[])[pi] as ptdesc;
  pmdp_collapse_flush(m, vma, pmd_addr, pmdt, pi);
  spin_unlock(m, pmdt.ptl);
  yield* mmu_notifier_invalidate_range_end(m, range);

  yield* spin_lock(m, pgtable.ptl);
  result = __collapse_huge_page_isolate(m, vma, pmd_addr, pgtable, compound_pagelist);
  spin_unlock(m, pgtable.ptl);
  if (result !== scan_result.SCAN_SUCCEED) {
    yield* spin_lock(m, pmdt.ptl);
    WARN_ON_ONCE(m, pmdt.entry[pi] !== 0, 'collapse_huge_page');
    pmd_populate(m, mm, pmdt, pi, pgtable);
    spin_unlock(m, pmdt.ptl);
    anon_vma_unlock_write(m, av);
    mmap_write_unlock(m, mm);
    return result;
  }
  anon_vma_unlock_write(m, av);
  yield* __collapse_huge_page_copy(m, pgtable, folio, vma, pmd_addr, compound_pagelist);
  folio_mark_uptodate(m, folio);
  yield* spin_lock(m, pmdt.ptl);
  WARN_ON_ONCE(m, pmdt.entry[pi] !== 0, 'collapse_huge_page');
  pgtable_trans_huge_deposit(m, mm, pmdt, pi, pgtable);
  map_anon_folio_pmd_nopf(m, folio, pmdt, pi, vma, pmd_addr);
  spin_unlock(m, pmdt.ptl);
  mmap_write_unlock(m, mm);
  return scan_result.SCAN_SUCCEED;
}

/** mm/khugepaged.c: collapse_huge_page(), mm/khugepaged.c: alloc_charge_folio() */
function* collapse_huge_page(
  m: Machine,
  mm: mm_struct,
  start_addr: number,
  unmapped: number,
  cc: collapse_control,
): Gen<scan> {
  const folio = folio_alloc(m, GFP_TRANSHUGE, HPAGE_PMD_ORDER);
  if (folio === 0) {
    count_vm_event(m, 'THP_COLLAPSE_ALLOC_FAILED');
    count_mthp_stat(m, HPAGE_PMD_ORDER, MTHP_STAT_COLLAPSE_ALLOC_FAILED);
    return scan_result.SCAN_ALLOC_HUGE_PAGE_FAIL;
  }
  count_vm_event(m, 'THP_COLLAPSE_ALLOC');
  count_mthp_stat(m, HPAGE_PMD_ORDER, MTHP_STAT_COLLAPSE_ALLOC);
  const result = yield* __collapse_huge_page(m, mm, folio, ALIGN_DOWN(start_addr, HPAGE_PMD_SIZE), unmapped, cc);
  if (result !== scan_result.SCAN_SUCCEED) folio_put(m, folio);
  return result;
}

/**
 * Scans the ptes of an aligned 2 MiB of anonymous memory and collapses them if possible. Entered under the mmap read
 * lock; lock_dropped says whether it was dropped (mm/khugepaged.c: collapse_scan_pmd()). Leaves out smaller orders and
 * khugepaged's limits.
 */
export function* collapse_scan_pmd(
  m: Machine,
  mm: mm_struct,
  vma: vm_area_struct,
  start_addr: number,
  lock_dropped: { val: boolean },
  cc: collapse_control,
): Gen<scan> {
  BUG_ON(start_addr % HPAGE_PMD_SIZE !== 0, 'mm/khugepaged.c: collapse_scan_pmd()');
  if (cc.is_khugepaged) throw new Unmodelled('collapse_scan_pmd: khugepaged');
  const found = find_pmd_or_thp_or_none(m, mm, start_addr);
  const { pmdt } = found;
  if (found.result !== scan_result.SCAN_SUCCEED || pmdt === null) {
    cc.progress++;
    return found.result;
  }
  const pt = yield* pte_offset_map_lock(m, mm, pmdt, pmd_index(start_addr), start_addr);
  if (pt === null) {
    cc.progress++;
    return scan_result.SCAN_NO_PTE_TABLE;
  }
  let unmapped = 0;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const pteval = pt.entry[i];
    cc.progress++;
    const fail = (result: scan): scan => {
      pte_unmap_unlock(m, pt);
      return result;
    };
    if (pte_none_or_zero(m, pteval)) continue;
    if (!pte_present(pteval)) {
      unmapped++;
      if (pte_swp_uffd_any(pteval)) return fail(scan_result.SCAN_PTE_UFFD);
      continue;
    }
    if (pte_uffd(pteval)) return fail(scan_result.SCAN_PTE_UFFD);
    const page = vm_normal_page(m, vma, start_addr + i * PAGE_SIZE, pteval);
    if (page === 0 || folio_is_zone_device(m, page)) return fail(scan_result.SCAN_PAGE_NULL);
    const folio = page_folio(m, page);
    if (!folio_test_anon(m, folio)) return fail(scan_result.SCAN_PAGE_ANON);
    if (!folio_test_lru(m, folio)) return fail(scan_result.SCAN_PAGE_LRU);
    if (folio_test_locked(m, folio)) return fail(scan_result.SCAN_PAGE_LOCK);
    if (folio_expected_ref_count(m, folio) !== folio_ref_count(m, folio)) return fail(scan_result.SCAN_PAGE_COUNT);
  }
  pte_unmap_unlock(m, pt);
  mmap_read_unlock(m, mm);
  lock_dropped.val = true;
  return yield* collapse_huge_page(m, mm, start_addr, unmapped, cc);
}
