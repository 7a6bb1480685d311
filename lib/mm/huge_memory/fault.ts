// SPDX-License-Identifier: GPL-2.0-only

import { check_stable_address_space } from '../oom_kill.ts';
import { mm_inc_nr_ptes, pmd_lock, pte_alloc_one, pte_free } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  HPAGE_PMD_NR,
  HPAGE_PMD_ORDER,
  HPAGE_PMD_SIZE,
  pmd_index,
  pmd_mkdirty,
  pmd_mkyoung,
  type ptdesc,
  pte_mkspecial,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { folio_mk_pmd, pmd_page, pmdp_set_access_flags, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_add_lru_vma, folio_put } from '../folio.ts';
import { khugepaged_enter_vma } from '../khugepaged/khugepaged.ts';
import { softleaf_from_pmd, softleaf_to_page } from '../leafops.ts';
import { folio_zero_user, vmf_anon_prepare } from '../memory/fault.ts';
import { page_pgmap } from '../memremap.ts';
import {
  add_mm_counter,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  MM_ANONPAGES,
  type vm_area_struct,
  type vm_fault,
  VM_FAULT_FALLBACK,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_UFFD_MISSING,
} from '../mm_types.ts';
import { vma_end_read } from '../mmap_lock.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import { folio_mark_uptodate, folio_test_swapcache, PageAnonExclusive, SetPageAnonExclusive } from '../page-flags.ts';
import { folio_get, folio_ref_count, folio_test_large, page_folio } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { pgtable_trans_huge_deposit, pmdp_huge_clear_flush } from '../pgtable-generic.ts';
import { folio_add_new_anon_rmap, folio_move_anon_rmap, RMAP_EXCLUSIVE } from '../rmap/rmap.ts';
import { handle_userfault, userfaultfd_missing } from '../userfaultfd/userfaultfd.ts';
import { deferred_split_folio } from './deferred_split.ts';
import { maybe_pmd_mkwrite } from './pmd_lock.ts';
import { __split_huge_pmd } from './split_pmd.ts';
import {
  count_mthp_stat,
  count_vm_event,
  is_huge_zero_pmd,
  mm_get_huge_zero_folio,
  MTHP_STAT_ANON_FAULT_ALLOC,
  MTHP_STAT_ANON_FAULT_FALLBACK,
  PMD_ORDER,
  thp_vma_suitable_order,
  transparent_hugepage_use_zero_page,
  vma_thp_gfp_mask,
} from './sysfs.ts';

/**
 * Allocates and zeroes a PMD-sized folio for an anonymous fault. Returns 0 if there is no memory (mm/huge_memory.c:
 * vma_alloc_anon_folio_pmd()). Leaves out the memcg charge: there are no memory cgroups.
 */
function vma_alloc_anon_folio_pmd(m: Machine, vma: vm_area_struct, addr: number): number {
  const folio = folio_alloc(m, vma_thp_gfp_mask(m, vma), HPAGE_PMD_ORDER);
  if (folio === 0) {
    count_vm_event(m, 'THP_FAULT_FALLBACK');
    count_mthp_stat(m, HPAGE_PMD_ORDER, MTHP_STAT_ANON_FAULT_FALLBACK);
    return 0;
  }
  BUG_ON(!folio_test_large(m, folio), 'mm/huge_memory.c: vma_alloc_anon_folio_pmd()');
  folio_zero_user(m, folio, addr);
  folio_mark_uptodate(m, folio);
  return folio;
}

/**
 * Maps a new anonymous folio by an empty pmd, under the pmd lock. Leaves the mm's counters to the caller
 * (mm/huge_memory.c: map_anon_folio_pmd_nopf()).
 */
export function map_anon_folio_pmd_nopf(
  m: Machine,
  folio: number,
  pmdt: ptdesc,
  pi: number,
  vma: vm_area_struct,
  haddr: number,
): void {
  const entry = maybe_pmd_mkwrite(pmd_mkdirty(folio_mk_pmd(m, folio, vma.vm_page_prot)), vma);
  folio_add_new_anon_rmap(m, folio, vma, haddr, RMAP_EXCLUSIVE);
  folio_add_lru_vma(m, folio, vma);
  set_pmd_at(m, vma.vm_mm, haddr, pmdt, pi, entry);
  deferred_split_folio(m, folio, false);
}

/**
 * Maps a new anonymous folio by an empty pmd for a page fault, and counts it (mm/huge_memory.c:
 * map_anon_folio_pmd_pf()). Leaves out the memcg event: there are no memory cgroups.
 */
function map_anon_folio_pmd_pf(
  m: Machine,
  folio: number,
  pmdt: ptdesc,
  pi: number,
  vma: vm_area_struct,
  haddr: number,
): void {
  map_anon_folio_pmd_nopf(m, folio, pmdt, pi, vma, haddr);
  add_mm_counter(vma.vm_mm, MM_ANONPAGES, HPAGE_PMD_NR);
  count_vm_event(m, 'THP_FAULT_ALLOC');
  count_mthp_stat(m, HPAGE_PMD_ORDER, MTHP_STAT_ANON_FAULT_ALLOC);
}

/**
 * Allocates a folio and maps it at an empty pmd. Returns VM_FAULT_* (mm/huge_memory.c: __do_huge_pmd_anonymous_page()).
 */
function* __do_huge_pmd_anonymous_page(m: Machine, vmf: vm_fault): Gen<number> {
  const haddr = ALIGN_DOWN(vmf.address, HPAGE_PMD_SIZE);
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  const folio = vma_alloc_anon_folio_pmd(m, vma, vmf.address);
  if (folio === 0) return VM_FAULT_FALLBACK;
  const pgtable = pte_alloc_one(m, mm);
  if (pgtable === null) {
    folio_put(m, folio);
    return VM_FAULT_OOM;
  }
  yield* pmd_lock(m, mm, pmdt);
  let ret = 0;
  if (pmdt.entry[pi] === 0) {
    ret = check_stable_address_space(mm);
    if (ret === 0 && userfaultfd_missing(vma)) {
      spin_unlock(m, pmdt.ptl);
      folio_put(m, folio);
      pte_free(m, mm, pgtable);
      ret = yield* handle_userfault(m, vmf, VM_UFFD_MISSING);
      BUG_ON((ret & VM_FAULT_FALLBACK) !== 0, 'mm/huge_memory.c: __do_huge_pmd_anonymous_page()');
      return ret;
    }
    if (ret === 0) {
      pgtable_trans_huge_deposit(m, mm, pmdt, pi, pgtable);
      map_anon_folio_pmd_pf(m, folio, pmdt, pi, vma, haddr);
      mm_inc_nr_ptes(mm);
      spin_unlock(m, pmdt.ptl);
      return 0;
    }
  }
  spin_unlock(m, pmdt.ptl);
  pte_free(m, mm, pgtable);
  folio_put(m, folio);
  return ret;
}

/**
 * Handles a CPU access to a device-private pmd by calling the driver's migrate_to_ram(). Returns VM_FAULT_*
 * (mm/huge_memory.c: do_huge_pmd_device_private()).
 */
export function* do_huge_pmd_device_private(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const pmdt = vmf.pmdt as ptdesc;
  if (vmf.flags & FAULT_FLAG_VMA_LOCK) {
    vma_end_read(m, vma);
    return VM_FAULT_RETRY;
  }
  yield* pmd_lock(m, vma.vm_mm, pmdt);
  if (pmdt.entry[pmd_index(vmf.address)] !== vmf.orig_pmd) {
    spin_unlock(m, pmdt.ptl);
    return 0;
  }
  const page = softleaf_to_page(m, softleaf_from_pmd(vmf.orig_pmd));
  const folio = page_folio(m, page);
  vmf.page = page;
  vmf.pte = null;
  let ret = 0;
  const locks = !m.patch.fault_page_unlocked;
  if (!locks || folio_trylock(m, folio)) {
    folio_get(m, folio);
    spin_unlock(m, pmdt.ptl);
    const ops = page_pgmap(m, page).ops;
    if (ops?.migrate_to_ram === undefined)
      BUG_ON(true, 'mm/huge_memory.c: do_huge_pmd_device_private() without migrate_to_ram');
    else ret = yield* ops.migrate_to_ram(m, vmf);
    if (locks) folio_unlock(m, folio);
    folio_put(m, folio);
  } else {
    spin_unlock(m, pmdt.ptl);
  }
  return ret;
}

/**
 * Maps the huge zero folio at an empty pmd, under the pmd lock, and deposits the page table (mm/huge_memory.c:
 * set_huge_zero_folio()).
 */
function set_huge_zero_folio(
  m: Machine,
  pgtable: ptdesc,
  vma: vm_area_struct,
  haddr: number,
  pmdt: ptdesc,
  zero_folio: number,
): void {
  const mm = vma.vm_mm;
  const pi = pmd_index(haddr);
  const entry = pte_mkspecial(folio_mk_pmd(m, zero_folio, vma.vm_page_prot));
  pgtable_trans_huge_deposit(m, mm, pmdt, pi, pgtable);
  set_pmd_at(m, mm, haddr, pmdt, pi, entry);
  mm_inc_nr_ptes(mm);
}

/**
 * Maps the huge zero folio for a read fault. Returns VM_FAULT_*. NON-KERNEL: the read half of upstream's
 * do_huge_pmd_anonymous_page().
 */
function* do_huge_pmd_zero_read(m: Machine, vmf: vm_fault, haddr: number): Gen<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  const pgtable = pte_alloc_one(m, mm);
  if (pgtable === null) return VM_FAULT_OOM;
  const zero_folio = mm_get_huge_zero_folio(m, mm);
  if (zero_folio === 0) {
    pte_free(m, mm, pgtable);
    count_vm_event(m, 'THP_FAULT_FALLBACK');
    return VM_FAULT_FALLBACK;
  }
  yield* pmd_lock(m, mm, pmdt);
  let ret = 0;
  if (pmdt.entry[pi] !== 0) {
    spin_unlock(m, pmdt.ptl);
    pte_free(m, mm, pgtable);
    return 0;
  }
  ret = check_stable_address_space(mm);
  if (ret !== 0) {
    spin_unlock(m, pmdt.ptl);
    pte_free(m, mm, pgtable);
  } else if (userfaultfd_missing(vma)) {
    spin_unlock(m, pmdt.ptl);
    pte_free(m, mm, pgtable);
    ret = yield* handle_userfault(m, vmf, VM_UFFD_MISSING);
    BUG_ON((ret & VM_FAULT_FALLBACK) !== 0, 'mm/huge_memory.c: do_huge_pmd_anonymous_page()');
  } else {
    set_huge_zero_folio(m, pgtable, vma, haddr, pmdt, zero_folio);
    spin_unlock(m, pmdt.ptl);
  }
  return ret;
}

/**
 * Handles the first access to a 2 MiB block of anonymous memory: the huge zero folio for a read, a new folio for a
 * write. Returns VM_FAULT_FALLBACK if the caller has to use ptes (mm/huge_memory.c: do_huge_pmd_anonymous_page()).
 */
export function* do_huge_pmd_anonymous_page(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const haddr = ALIGN_DOWN(vmf.address, HPAGE_PMD_SIZE);
  if (!thp_vma_suitable_order(vma, haddr, PMD_ORDER)) return VM_FAULT_FALLBACK;
  const ret = yield* vmf_anon_prepare(m, vmf);
  if (ret !== 0) return ret;
  khugepaged_enter_vma(m, vma, vma.vm_flags);
  if ((vmf.flags & FAULT_FLAG_WRITE) === 0 && transparent_hugepage_use_zero_page(m))
    return yield* do_huge_pmd_zero_read(m, vmf, haddr);
  return yield* __do_huge_pmd_anonymous_page(m, vmf);
}

/**
 * Sets the accessed bit, and for a write the dirty bit. Returns true if the pmd changed (mm/huge_memory.c:
 * touch_pmd()).
 */
export function touch_pmd(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pmdt: ptdesc,
  pi: number,
  write: boolean,
): boolean {
  let entry = pmd_mkyoung(pmdt.entry[pi]);
  if (write) entry = pmd_mkdirty(entry);
  return pmdp_set_access_flags(m, vma, ALIGN_DOWN(addr, HPAGE_PMD_SIZE), pmdt, pi, entry, write);
}

/**
 * Updates the accessed and dirty bits after a spurious fault, under the pmd lock (mm/huge_memory.c:
 * huge_pmd_set_accessed()).
 */
export function huge_pmd_set_accessed(m: Machine, vmf: vm_fault): boolean {
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  if (pmdt.entry[pi] !== vmf.orig_pmd) return false;
  return touch_pmd(m, vmf.vma, vmf.address, pmdt, pi, (vmf.flags & FAULT_FLAG_WRITE) !== 0);
}

/**
 * Replaces the huge zero folio by a new folio for a write fault. Returns VM_FAULT_* (mm/huge_memory.c:
 * do_huge_zero_wp_pmd()).
 */
function* do_huge_zero_wp_pmd(m: Machine, vmf: vm_fault): Gen<number> {
  const haddr = ALIGN_DOWN(vmf.address, HPAGE_PMD_SIZE);
  const vma = vmf.vma;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  const folio = vma_alloc_anon_folio_pmd(m, vma, vmf.address);
  if (folio === 0) return VM_FAULT_FALLBACK;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, vma.vm_mm, haddr, haddr + HPAGE_PMD_SIZE);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* pmd_lock(m, vma.vm_mm, pmdt);
  let ret = 0;
  let use = pmdt.entry[pi] === vmf.orig_pmd;
  if (use) {
    ret = check_stable_address_space(vma.vm_mm);
    use = ret === 0;
  }
  if (use) {
    pmdp_huge_clear_flush(m, vma, haddr, pmdt, pi);
    map_anon_folio_pmd_pf(m, folio, pmdt, pi, vma, haddr);
  } else {
    folio_put(m, folio);
  }
  spin_unlock(m, pmdt.ptl);
  yield* mmu_notifier_invalidate_range_end(m, range);
  return ret;
}

/**
 * Handles a write or an unshare fault on a read-only pmd. Reuses the folio if it has no other user, replaces the huge
 * zero folio, and otherwise splits the pmd and returns VM_FAULT_FALLBACK (mm/huge_memory.c: do_huge_pmd_wp_page()).
 */
export function* do_huge_pmd_wp_page(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  const haddr = ALIGN_DOWN(vmf.address, HPAGE_PMD_SIZE);
  const orig_pmd = vmf.orig_pmd;
  BUG_ON(vma.anon_vma === null, 'mm/huge_memory.c: do_huge_pmd_wp_page()');

  if (is_huge_zero_pmd(m, orig_pmd)) {
    const ret = yield* do_huge_zero_wp_pmd(m, vmf);
    if ((ret & VM_FAULT_FALLBACK) === 0) return ret;
    yield* __split_huge_pmd(m, vma, pmdt, pi, vmf.address, false);
    return VM_FAULT_FALLBACK;
  }

  yield* spin_lock(m, pmdt.ptl);
  if (pmdt.entry[pi] !== orig_pmd) {
    spin_unlock(m, pmdt.ptl);
    return 0;
  }
  const page = pmd_page(m, orig_pmd);
  const folio = page_folio(m, page);
  BUG_ON(page !== folio, 'mm/huge_memory.c: do_huge_pmd_wp_page()');

  let reuse = PageAnonExclusive(m, page);
  if (!reuse) {
    if (!folio_trylock(m, folio)) {
      folio_get(m, folio);
      spin_unlock(m, pmdt.ptl);
      yield* folio_lock(m, folio);
      yield* spin_lock(m, pmdt.ptl);
      if (pmdt.entry[pi] !== orig_pmd) {
        spin_unlock(m, pmdt.ptl);
        folio_unlock(m, folio);
        folio_put(m, folio);
        return 0;
      }
      folio_put(m, folio);
    }
    reuse = PageAnonExclusive(m, page);
    if (!reuse) {
      if (folio_test_swapcache(m, folio)) throw new Unmodelled('do_huge_pmd_wp_page: a folio in the swap cache');
      if (folio_ref_count(m, folio) === 1) {
        folio_move_anon_rmap(m, folio, vma);
        SetPageAnonExclusive(m, page);
        reuse = true;
      }
    }
    folio_unlock(m, folio);
  }

  if (reuse) {
    if ((vmf.flags & FAULT_FLAG_UNSHARE) === 0) {
      const entry = maybe_pmd_mkwrite(pmd_mkdirty(pmd_mkyoung(orig_pmd)), vma);
      pmdp_set_access_flags(m, vma, haddr, pmdt, pi, entry, true);
    }
    spin_unlock(m, pmdt.ptl);
    return 0;
  }
  spin_unlock(m, pmdt.ptl);
  yield* __split_huge_pmd(m, vma, pmdt, pi, vmf.address, false);
  return VM_FAULT_FALLBACK;
}

/** Handles a NUMA hinting fault; NUMA balancing is Unmodelled (mm/huge_memory.c: do_huge_pmd_numa_page()). */
export function* do_huge_pmd_numa_page(_m: Machine, _vmf: vm_fault): Gen<number> {
  throw new Unmodelled('do_huge_pmd_numa_page');
}
