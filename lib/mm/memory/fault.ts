// SPDX-License-Identifier: GPL-2.0-only

import { folio_mk_pte, mk_pte, pmd_lock, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  HPAGE_PMD_ORDER,
  pfn_pte,
  pgd_index,
  pmd_index,
  pmd_none,
  pmd_pfn,
  pmd_present,
  pmd_protnone,
  pmd_trans_huge,
  pmd_write,
  type ptdesc,
  pte_index,
  pte_mkdirty,
  pte_mkold,
  pte_mksoft_dirty,
  pte_mkspecial,
  pte_mkuffd,
  pte_mkwrite,
  pte_mkyoung,
  pte_none,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_soft_dirty,
  pte_special,
  pte_uffd,
  pte_write,
  pud_index,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { pte_clear, ptep_set_access_flags, set_pte_at, set_ptes } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EBUSY } from '../../errno.ts';
import { done, type Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { printk, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_lock_or_retry, folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_add_lru_vma, folio_put } from '../folio.ts';
import {
  do_huge_pmd_anonymous_page,
  do_huge_pmd_device_private,
  do_huge_pmd_numa_page,
  do_huge_pmd_wp_page,
  huge_pmd_set_accessed,
} from '../huge_memory/fault.ts';
import { __split_huge_pmd } from '../huge_memory/split_pmd.ts';
import {
  count_mthp_stat,
  highest_order,
  is_huge_zero_pfn,
  MTHP_STAT_ANON_FAULT_ALLOC,
  MTHP_STAT_ANON_FAULT_FALLBACK,
  next_order,
  thp_vma_allowable_order,
  thp_vma_allowable_orders,
  thp_vma_suitable_orders,
  TVA_PAGEFAULT,
  vma_thp_gfp_mask,
} from '../huge_memory/sysfs.ts';
import { hugetlb_fault } from '../hugetlb/fault.ts';
import {
  pmd_is_device_private_entry,
  pmd_is_migration_entry,
  pte_is_uffd_wp_marker,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  softleaf_from_pte,
  softleaf_is_device_exclusive,
  softleaf_is_device_private,
  softleaf_is_hwpoison,
  softleaf_is_marker,
  softleaf_is_migration,
  softleaf_is_swap,
  softleaf_is_uffd_wp_marker,
  softleaf_to_marker,
  softleaf_to_page,
} from '../leafops.ts';
import { migration_entry_wait, pmd_migration_entry_wait } from '../migrate/entry.ts';
import {
  add_mm_counter,
  FAULT_FLAG_ORIG_PTE_VALID,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  is_cow_mapping,
  is_vm_hugetlb_page,
  MM_ANONPAGES,
  type mm_struct,
  type vm_area_struct,
  vm_fault,
  VM_FAULT_FALLBACK,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
  VM_UFFD_MISSING,
  VM_UFFD_WP,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm_types.ts';
import { mmap_read_trylock, mmap_read_unlock, vma_end_read } from '../mmap_lock.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init_owner,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import { can_change_pte_writable } from '../mprotect.ts';
import { check_stable_address_space } from '../oom_kill.ts';
import { folio_mark_uptodate, folio_test_dirty, folio_test_locked } from '../page-flags.ts';
import {
  folio_nr_pages,
  folio_order,
  folio_ref_add,
  folio_try_get,
  page_folio,
  page_to_pfn,
  pfn_to_page,
} from '../page.ts';
import { __GFP_ZERO, folio_alloc, GFP_HIGHUSER_MOVABLE } from '../page_alloc.ts';
import { pte_offset_map, pte_offset_map_lock, pte_offset_map_rw_nolock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { __anon_vma_prepare } from '../rmap/anon_vma.ts';
import { device_exclusive_is_mapping } from '../rmap/device_exclusive.ts';
import { folio_add_anon_rmap_pte, folio_add_new_anon_rmap, RMAP_EXCLUSIVE, RMAP_NONE } from '../rmap/rmap.ts';
import { mm_alloc_pmd } from '../userfaultfd/mfill.ts';
import {
  handle_userfault,
  userfaultfd_armed,
  userfaultfd_huge_pmd_wp,
  userfaultfd_wp_async,
  userfaultfd_missing,
  userfaultfd_wp,
} from '../userfaultfd/userfaultfd.ts';
import { vma_is_accessible } from '../vma/vma.ts';
import { do_fault } from './file.ts';
import { pmd_alloc, pte_alloc, pte_alloc_map_lock, pud_alloc } from './pgalloc.ts';
import { do_wp_page } from './wp.ts';

/** Returns true for the pfn of the zero page (include/linux/pgtable.h: is_zero_pfn()). */
export function is_zero_pfn(m: Machine, pfn: number): boolean {
  return pfn === page_to_pfn(m, m.zero_page);
}

/**
 * Reports a page table entry that should not exist (mm/memory.c: print_bad_page_map()). Leaves out the dump of the
 * entry, the vma and the stack.
 */
function print_bad_page_map(m: Machine, vma: vm_area_struct, addr: number, level: string): void {
  printk(m, `BUG: Bad page map in process ${m.current.comm}  ${level} addr:${addr.toString(16)}`);
  m.log.taint.add('B');
}

/** Returns the page that an entry maps, or 0 if it has no refcounted page (mm/memory.c: __vm_normal_page()). */
function __vm_normal_page(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pfn: number,
  special: boolean,
  level: string,
): number {
  if (special) {
    if (vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP)) return 0;
    if (is_zero_pfn(m, pfn) || is_huge_zero_pfn(m, pfn)) return 0;
    print_bad_page_map(m, vma, addr, level);
    return 0;
  }
  return pfn_to_page(m, pfn);
}

/**
 * Returns the page that a present pte maps, or 0 if it has none, as for the zero page (mm/memory.c: vm_normal_page()).
 * Leaves out the check against highest_memmap_pfn.
 */
export function vm_normal_page(m: Machine, vma: vm_area_struct, addr: number, pte: number): number {
  return __vm_normal_page(m, vma, addr, pte_pfn(pte), pte_special(pte), 'pte');
}

/** Returns the folio of vm_normal_page(), or 0 (mm/memory.c: vm_normal_folio()). */
export function vm_normal_folio(m: Machine, vma: vm_area_struct, addr: number, pte: number): number {
  const page = vm_normal_page(m, vma, addr, pte);
  return page === 0 ? 0 : page_folio(m, page);
}

/** Returns the page that a huge pmd maps, or 0, as for the huge zero folio (mm/memory.c: vm_normal_page_pmd()). */
export function vm_normal_page_pmd(m: Machine, vma: vm_area_struct, addr: number, pmd: number): number {
  const pfn = pmd_pfn(pmd);
  return __vm_normal_page(m, vma, addr, pfn, pte_special(pmd) || is_huge_zero_pfn(m, pfn), 'pmd');
}

/** Returns the folio of vm_normal_page_pmd(), or 0 (mm/memory.c: vm_normal_folio_pmd()). */
export function vm_normal_folio_pmd(m: Machine, vma: vm_area_struct, addr: number, pmd: number): number {
  const page = vm_normal_page_pmd(m, vma, addr, pmd);
  return page === 0 ? 0 : page_folio(m, page);
}

/**
 * Returns true if the pte changed since the fault read it; under the page table lock (mm/memory.c: vmf_pte_changed()).
 */
export function vmf_pte_changed(vmf: vm_fault): boolean {
  const pte = (vmf.pte as ptdesc).entry[pte_index(vmf.address)];
  return vmf.flags & FAULT_FLAG_ORIG_PTE_VALID ? pte !== vmf.orig_pte : !pte_none(pte);
}

/** Returns true if the fault found a uffd-wp marker (mm/memory.c: vmf_orig_pte_uffd_wp()). */
export function vmf_orig_pte_uffd_wp(vmf: vm_fault): boolean {
  if (!userfaultfd_wp(vmf.vma)) return false;
  return (vmf.flags & FAULT_FLAG_ORIG_PTE_VALID) !== 0 && pte_is_uffd_wp_marker(vmf.orig_pte);
}

/**
 * Prepares the vma for anonymous pages. Returns 0, VM_FAULT_OOM, or VM_FAULT_RETRY with the vma lock released
 * (mm/internal.h: vmf_anon_prepare()).
 */
export function vmf_anon_prepare(m: Machine, vmf: vm_fault): Gen<number> {
  return vmf.vma.anon_vma !== null ? done(0) : vmf_anon_prepare_slowpath(m, vmf);
}

/** The part of vmf_anon_prepare() that may sleep. NON-KERNEL. */
function* vmf_anon_prepare_slowpath(m: Machine, vmf: vm_fault): Gen<number> {
  const ret = yield* __vmf_anon_prepare(m, vmf);
  if (ret & VM_FAULT_RETRY) vma_end_read(m, vmf.vma);
  return ret;
}

/**
 * Returns 0 if the vma's ->fault() may be called with the lock that is held. Under the vma lock only files that have
 * ->map_pages() allow it; else VM_FAULT_RETRY with the vma lock released (mm/memory.c: vmf_can_call_fault()).
 */
export function vmf_can_call_fault(m: Machine, vmf: vm_fault): number {
  if (!(vmf.flags & FAULT_FLAG_VMA_LOCK) || vmf.vma.vm_ops?.map_pages) return 0;
  vma_end_read(m, vmf.vma);
  return VM_FAULT_RETRY;
}

/**
 * Allocates a page for a private mapping, zeroed if `need_zero`. Returns 0 without memory (mm/memory.c:
 * folio_prealloc()).
 */
export function folio_prealloc(m: Machine, vma: vm_area_struct, addr: number, need_zero: boolean): number {
  return folio_alloc(m, need_zero ? GFP_HIGHUSER_MOVABLE | __GFP_ZERO : GFP_HIGHUSER_MOVABLE, 0);
}

/** Zeroes a folio for user space (mm/memory.c: folio_zero_user()). */
export function folio_zero_user(m: Machine, folio: number, _addr_hint: number): void {
  const pfn = page_to_pfn(m, folio);
  const nr = folio_nr_pages(m, folio);
  for (let i = 0; i < nr; i++) m.ram.clear(pfn + i);
  m.sched.spend(100 * nr);
}

/**
 * Copies one user page (include/linux/highmem.h: copy_mc_user_highpage()). A source page without a linear mapping
 * oopses.
 */
export function copy_mc_user_highpage(
  m: Machine,
  to: number,
  from: number,
  _vaddr: number,
  _vma: vm_area_struct,
): number {
  m.ram.copy(page_to_pfn(m, to), page_to_pfn(m, from));
  m.sched.spend(300);
  return 0;
}

/** Copies a large folio. Returns 0, since no memory is poisoned (mm/memory.c: copy_user_large_folio()). */
export function copy_user_large_folio(
  m: Machine,
  dst: number,
  src: number,
  _addr_hint: number,
  _vma: vm_area_struct,
): number {
  const nr = folio_nr_pages(m, dst);
  m.ram.copy(page_to_pfn(m, dst), page_to_pfn(m, src), nr);
  m.sched.spend(300 * nr);
  return 0;
}

/**
 * Returns the locked pte table for the address after allocating the tables above it; null without memory (mm/memory.c:
 * get_locked_pte()).
 */
export function* get_locked_pte(m: Machine, mm: mm_struct, addr: number): Gen<ptdesc | null> {
  const pmdt = yield* mm_alloc_pmd(m, mm, addr);
  if (pmdt === null) return null;
  return yield* pte_alloc_map_lock(m, mm, pmdt, pmd_index(addr), addr);
}

/**
 * Replaces a device-exclusive entry by a present pte, under the folio lock and the page table lock (mm/memory.c:
 * restore_exclusive_pte()).
 */
function restore_exclusive_pte(
  m: Machine,
  vma: vm_area_struct,
  folio: number,
  page: number,
  address: number,
  pt: ptdesc,
  orig_pte: number,
): void {
  const i = pte_index(address);
  WARN_ON(m, !folio_test_locked(m, folio), 'restore_exclusive_pte');
  if (!device_exclusive_is_mapping(m)) folio_add_anon_rmap_pte(m, folio, page, vma, address, RMAP_NONE);
  let pte = pte_mkold(mk_pte(m, page, vma.vm_page_prot));
  if (pte_soft_dirty(orig_pte)) pte = pte_mksoft_dirty(pte);
  if (pte_uffd(orig_pte)) pte = pte_mkuffd(pte);
  if ((vma.vm_flags & VM_WRITE) !== 0 && can_change_pte_writable(m, vma, address, pte)) {
    if (folio_test_dirty(m, folio)) pte = pte_mkdirty(pte);
    pte = pte_mkwrite(pte);
  }
  set_pte_at(m, vma.vm_mm, address, pt, i, pte);
}

/**
 * Restores a device-exclusive entry if the folio lock is free. Returns 0 or -EBUSY (mm/memory.c:
 * try_restore_exclusive_pte()).
 */
export function try_restore_exclusive_pte(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  orig_pte: number,
): number {
  const page = softleaf_to_page(m, softleaf_from_pte(orig_pte));
  const folio = page_folio(m, page);
  if (!folio_trylock(m, folio)) return -EBUSY;
  restore_exclusive_pte(m, vma, folio, page, addr, pt, orig_pte);
  folio_unlock(m, folio);
  return 0;
}

/**
 * Handles a CPU fault on a device-exclusive entry: revokes the device's access and restores the pte. Returns 0 or
 * VM_FAULT_RETRY (mm/memory.c: remove_device_exclusive_entry()).
 */
function* remove_device_exclusive_entry(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const folio = page_folio(m, vmf.page);
  if (m.sched.explore) yield* preempt_point(m, 'remove_device_exclusive_entry');
  const gets = !m.patch.exclusive_fault_without_ref;
  if (gets && !folio_try_get(m, folio)) return 0;
  const ret = yield* folio_lock_or_retry(m, folio, vmf);
  if (ret !== 0) {
    if (gets) folio_put(m, folio);
    return ret;
  }
  const range = new mmu_notifier_range();
  mmu_notifier_range_init_owner(range, MMU_NOTIFY_CLEAR, 0, vma.vm_mm, vmf.address, vmf.address + PAGE_SIZE, null);
  yield* mmu_notifier_invalidate_range_start(m, range);
  const i = pte_index(vmf.address);
  vmf.pte = yield* pte_offset_map_lock(m, vma.vm_mm, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address);
  if (vmf.pte !== null) {
    if (vmf.pte.entry[i] === vmf.orig_pte)
      restore_exclusive_pte(m, vma, folio, vmf.page, vmf.address, vmf.pte, vmf.orig_pte);
    pte_unmap_unlock(m, vmf.pte);
  }
  folio_unlock(m, folio);
  if (gets) folio_put(m, folio);
  yield* mmu_notifier_invalidate_range_end(m, range);
  return 0;
}

/** Clears a marker that no longer applies, so that the fault is retried (mm/memory.c: pte_marker_clear()). */
function* pte_marker_clear(m: Machine, vmf: vm_fault): Gen<number> {
  vmf.pte = yield* pte_offset_map_lock(m, vmf.vma.vm_mm, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address);
  if (vmf.pte === null) return 0;
  const i = pte_index(vmf.address);
  if (vmf.pte.entry[i] === vmf.orig_pte) pte_clear(m, vmf.vma.vm_mm, vmf.address, vmf.pte, i);
  pte_unmap_unlock(m, vmf.pte);
  return 0;
}

/** Handles a fault on an empty pte (mm/memory.c: do_pte_missing()). */
function* do_pte_missing(m: Machine, vmf: vm_fault): Gen<number> {
  if (vma_is_anonymous(vmf.vma)) return yield* do_anonymous_page(m, vmf);
  return yield* do_fault(m, vmf);
}

/** Handles a fault on a marker. Returns VM_FAULT_* (mm/memory.c: handle_pte_marker()). */
function* handle_pte_marker(m: Machine, vmf: vm_fault): Gen<number> {
  const entry = softleaf_from_pte(vmf.orig_pte);
  const marker = softleaf_to_marker(m, entry);
  if (WARN_ON_ONCE(m, marker === 0, 'handle_pte_marker')) return VM_FAULT_SIGBUS;
  if (marker & PTE_MARKER_POISONED) return VM_FAULT_HWPOISON;
  if (marker & PTE_MARKER_GUARD) return VM_FAULT_SIGSEGV;
  if (softleaf_is_uffd_wp_marker(entry)) {
    if (!userfaultfd_wp(vmf.vma)) return yield* pte_marker_clear(m, vmf);
    return yield* do_pte_missing(m, vmf);
  }
  return VM_FAULT_SIGBUS;
}

/**
 * Handles a fault on a non-present pte: a migration, device-exclusive or device-private entry, or a marker. Returns
 * VM_FAULT_* (mm/memory.c: do_swap_page()). Leaves out swap entries: there are no swap devices.
 */
export function* do_swap_page(m: Machine, vmf: vm_fault): Gen<number> {
  vmf.pte = null;
  const entry = softleaf_from_pte(vmf.orig_pte);
  if (softleaf_is_swap(entry)) throw new Unmodelled('do_swap_page: a swap entry');
  if (softleaf_is_migration(entry)) {
    yield* migration_entry_wait(m, vmf.vma.vm_mm, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address);
    return 0;
  }
  if (softleaf_is_device_exclusive(entry)) {
    vmf.page = softleaf_to_page(m, entry);
    return yield* remove_device_exclusive_entry(m, vmf);
  }
  if (softleaf_is_device_private(entry)) {
    if (vmf.flags & FAULT_FLAG_VMA_LOCK) {
      vma_end_read(m, vmf.vma);
      return VM_FAULT_RETRY;
    }
    vmf.page = softleaf_to_page(m, entry);
    return yield* m.seam.device_private_fault(m, vmf, entry);
  }
  if (softleaf_is_hwpoison(entry)) return VM_FAULT_HWPOISON;
  if (softleaf_is_marker(entry)) return yield* handle_pte_marker(m, vmf);
  print_bad_page_map(m, vmf.vma, vmf.address, 'pte');
  return VM_FAULT_SIGBUS;
}

/** Returns true if the nr ptes from (pt, i) on are none (mm/memory.c: pte_range_none()). */
export function pte_range_none(pt: ptdesc, i: number, nr_pages: number): boolean {
  for (let k = i; k < i + nr_pages; k++) if (!pte_none(pt.entry[k])) return false;
  return true;
}

/**
 * Allocates a folio of the largest enabled order that fits. Returns 0 without memory, -1 (upstream: -EAGAIN) if the
 * fault has to be retried (mm/memory.c: alloc_anon_folio()).
 */
function alloc_anon_folio(m: Machine, vmf: vm_fault): number {
  const vma = vmf.vma;
  if (!userfaultfd_armed(vma)) {
    let orders = thp_vma_allowable_orders(m, vma, vma.vm_flags, TVA_PAGEFAULT, (1 << HPAGE_PMD_ORDER) - 1);
    if (orders !== 0) orders = thp_vma_suitable_orders(vma, vmf.address, orders);
    if (orders !== 0) {
      const pt = pte_offset_map(m, vmf.pmdt as ptdesc, pmd_index(vmf.address));
      if (pt === null) return -1;
      let order = highest_order(orders);
      while (orders !== 0) {
        if (pte_range_none(pt, pte_index(ALIGN_DOWN(vmf.address, PAGE_SIZE << order)), 1 << order)) break;
        orders = next_order(orders, order);
        order = highest_order(orders);
      }
      const gfp = vma_thp_gfp_mask(m, vma);
      while (orders !== 0) {
        const folio = folio_alloc(m, gfp, order);
        if (folio !== 0) {
          folio_zero_user(m, folio, vmf.address);
          return folio;
        }
        count_mthp_stat(m, order, MTHP_STAT_ANON_FAULT_FALLBACK);
        orders = next_order(orders, order);
        order = highest_order(orders);
      }
    }
  }
  return folio_prealloc(m, vma, vmf.address, true);
}

/**
 * Maps a new anonymous folio at (pt, i). Leaves the mm's counters to the caller (mm/memory.c:
 * map_anon_folio_pte_nopf()).
 */
function map_anon_folio_pte_nopf(
  m: Machine,
  folio: number,
  pt: ptdesc,
  i: number,
  vma: vm_area_struct,
  addr: number,
  uffd_wp: boolean,
): void {
  const nr_pages = folio_nr_pages(m, folio);
  let entry = folio_mk_pte(m, folio, vma.vm_page_prot);
  if (vma.vm_flags & VM_WRITE) entry = pte_mkwrite(pte_mkdirty(entry));
  if (uffd_wp) entry = pte_mkuffd(entry);
  folio_ref_add(m, folio, nr_pages - 1);
  folio_add_new_anon_rmap(m, folio, vma, addr, RMAP_EXCLUSIVE);
  folio_add_lru_vma(m, folio, vma);
  set_ptes(m, vma.vm_mm, addr, pt, i, entry, nr_pages);
}

/** Handles the first access to anonymous memory. Returns VM_FAULT_* (mm/memory.c: do_anonymous_page()). */
function* do_anonymous_page(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  let addr = vmf.address;
  if (vma.vm_flags & VM_SHARED) return VM_FAULT_SIGBUS;
  if (pmd_none(pmdt.entry[pi]) && (yield* pte_alloc(m, mm, pmdt, pi)) !== 0) return VM_FAULT_OOM;

  if (!(vmf.flags & FAULT_FLAG_WRITE)) {
    let entry = pte_mkspecial(pfn_pte(page_to_pfn(m, m.zero_page), vma.vm_page_prot));
    const pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
    vmf.pte = pt;
    if (pt === null) return 0;
    let ret = 0;
    if (!vmf_pte_changed(vmf)) {
      ret = check_stable_address_space(mm);
      if (ret === 0) {
        if (userfaultfd_missing(vma)) {
          pte_unmap_unlock(m, pt);
          return yield* handle_userfault(m, vmf, VM_UFFD_MISSING);
        }
        if (vmf_orig_pte_uffd_wp(vmf)) entry = pte_mkuffd(entry);
        set_pte_at(m, mm, addr, pt, pte_index(addr), entry);
      }
    }
    pte_unmap_unlock(m, pt);
    return ret;
  }

  let ret = yield* vmf_anon_prepare(m, vmf);
  if (ret !== 0) return ret;
  const folio = alloc_anon_folio(m, vmf);
  if (folio === -1) return 0;
  if (folio === 0) return VM_FAULT_OOM;
  const nr_pages = folio_nr_pages(m, folio);
  addr = ALIGN_DOWN(vmf.address, nr_pages * PAGE_SIZE);
  folio_mark_uptodate(m, folio);
  const pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
  vmf.pte = pt;
  if (pt === null) {
    folio_put(m, folio);
    return 0;
  }
  const i = pte_index(addr);
  const changed = nr_pages === 1 ? vmf_pte_changed(vmf) : !pte_range_none(pt, i, nr_pages);
  if (!changed) ret = check_stable_address_space(mm);
  if (changed || ret !== 0) {
    folio_put(m, folio);
    pte_unmap_unlock(m, pt);
    return ret;
  }
  if (userfaultfd_missing(vma)) {
    pte_unmap_unlock(m, pt);
    folio_put(m, folio);
    return yield* handle_userfault(m, vmf, VM_UFFD_MISSING);
  }
  map_anon_folio_pte_nopf(m, folio, pt, i, vma, addr, vmf_orig_pte_uffd_wp(vmf));
  add_mm_counter(mm, MM_ANONPAGES, nr_pages);
  if (nr_pages > 1) count_mthp_stat(m, folio_order(m, folio), MTHP_STAT_ANON_FAULT_ALLOC);
  pte_unmap_unlock(m, pt);
  return 0;
}

/** Handles a fault on an empty pmd that may be huge. Returns VM_FAULT_* (mm/memory.c: create_huge_pmd()). */
function* create_huge_pmd(m: Machine, vmf: vm_fault): Gen<number> {
  if (vma_is_anonymous(vmf.vma)) return yield* do_huge_pmd_anonymous_page(m, vmf);
  const huge_fault = vmf.vma.vm_ops?.huge_fault;
  return huge_fault ? yield* huge_fault(m, vmf, HPAGE_PMD_ORDER) : VM_FAULT_FALLBACK;
}

/** Handles a write or an unshare fault on a read-only huge pmd. Returns VM_FAULT_* (mm/memory.c: wp_huge_pmd()). */
function* wp_huge_pmd(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  if (vma_is_anonymous(vma)) {
    const uffd_wp = !(vmf.flags & FAULT_FLAG_UNSHARE) && userfaultfd_huge_pmd_wp(vma, vmf.orig_pmd);
    if (!uffd_wp) return yield* do_huge_pmd_wp_page(m, vmf);
    if (!userfaultfd_wp_async(vma)) return yield* handle_userfault(m, vmf, VM_UFFD_WP);
  }
  const huge_fault = vma.vm_ops?.huge_fault;
  if ((vma.vm_flags & (VM_SHARED | VM_MAYSHARE)) !== 0 && huge_fault) {
    const ret = yield* huge_fault(m, vmf, HPAGE_PMD_ORDER);
    if (!(ret & VM_FAULT_FALLBACK)) return ret;
  }
  yield* __split_huge_pmd(m, vma, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address, false);
  return VM_FAULT_FALLBACK;
}

/**
 * Handles a fault at the pte level. Returns VM_FAULT_* (mm/memory.c: handle_pte_fault()). NUMA hinting faults are
 * Unmodelled.
 */
function* handle_pte_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  const i = pte_index(vmf.address);
  if (pmd_none(pmdt.entry[pi])) {
    vmf.pte = null;
    vmf.flags &= ~FAULT_FLAG_ORIG_PTE_VALID;
  } else {
    vmf.pte = pte_offset_map_rw_nolock(m, vma.vm_mm, pmdt, pi, vmf.address);
    if (vmf.pte === null) return 0;
    vmf.orig_pte = vmf.pte.entry[i];
    vmf.flags |= FAULT_FLAG_ORIG_PTE_VALID;
    if (pte_none(vmf.orig_pte)) vmf.pte = null;
  }
  const pt = vmf.pte;
  if (pt === null) return vma_is_anonymous(vma) ? yield* do_anonymous_page(m, vmf) : yield* do_fault(m, vmf);
  if (!pte_present(vmf.orig_pte)) return yield* do_swap_page(m, vmf);
  if (pte_protnone(vmf.orig_pte) && vma_is_accessible(vma)) throw new Unmodelled('do_numa_page');

  yield* spin_lock(m, pt.ptl);
  let entry = vmf.orig_pte;
  if (pt.entry[i] !== entry) {
    pte_unmap_unlock(m, pt);
    return 0;
  }
  if (vmf.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) {
    if (!pte_write(entry)) return yield* do_wp_page(m, vmf);
    if (vmf.flags & FAULT_FLAG_WRITE) entry = pte_mkdirty(entry);
  }
  entry = pte_mkyoung(entry);
  ptep_set_access_flags(m, vma, vmf.address, pt, i, entry, (vmf.flags & FAULT_FLAG_WRITE) !== 0);
  pte_unmap_unlock(m, pt);
  return 0;
}

/**
 * Walks and allocates the upper page tables, then handles the fault as a pmd or a pte fault. Returns VM_FAULT_*
 * (mm/memory.c: __handle_mm_fault()). Leaves out huge puds: nothing modelled maps them.
 */
function* __handle_mm_fault(m: Machine, vma: vm_area_struct, address: number, flags: number): Gen<number> {
  const vmf = new vm_fault(vma, address, flags);
  const mm = vma.vm_mm;
  const gi = pgd_index(address);
  const ui = pud_index(address);
  vmf.pudt = mm.pgd.child?.[gi] ?? (yield* pud_alloc(m, mm, mm.pgd, gi, address));
  if (vmf.pudt === null) return VM_FAULT_OOM;
  const pmdt = vmf.pudt.child?.[ui] ?? (yield* pmd_alloc(m, mm, vmf.pudt, ui, address));
  if (pmdt === null) return VM_FAULT_OOM;
  vmf.pmdt = pmdt;
  const pi = pmd_index(address);

  if (pmd_none(pmdt.entry[pi]) && thp_vma_allowable_order(m, vma, vma.vm_flags, TVA_PAGEFAULT, HPAGE_PMD_ORDER)) {
    const ret = yield* create_huge_pmd(m, vmf);
    if (!(ret & VM_FAULT_FALLBACK)) return ret;
    return yield* handle_pte_fault(m, vmf);
  }
  vmf.orig_pmd = pmdt.entry[pi];
  if (pmd_none(vmf.orig_pmd)) return yield* handle_pte_fault(m, vmf);
  if (!pmd_present(vmf.orig_pmd)) {
    if (pmd_is_device_private_entry(vmf.orig_pmd)) return yield* do_huge_pmd_device_private(m, vmf);
    if (pmd_is_migration_entry(vmf.orig_pmd)) yield* pmd_migration_entry_wait(m, mm, pmdt, pi);
    return 0;
  }
  if (pmd_trans_huge(vmf.orig_pmd)) {
    if (pmd_protnone(vmf.orig_pmd) && vma_is_accessible(vma)) return yield* do_huge_pmd_numa_page(m, vmf);
    if ((flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0 && !pmd_write(vmf.orig_pmd)) {
      const ret = yield* wp_huge_pmd(m, vmf);
      if (!(ret & VM_FAULT_FALLBACK)) return ret;
    } else {
      const ptl = yield* pmd_lock(m, mm, pmdt);
      huge_pmd_set_accessed(m, vmf);
      spin_unlock(m, ptl);
      return 0;
    }
  }
  return yield* handle_pte_fault(m, vmf);
}

/** Checks that the fault flags fit the vma. Returns 0 or VM_FAULT_SIGSEGV (mm/memory.c: sanitize_fault_flags()). */
function sanitize_fault_flags(m: Machine, vma: vm_area_struct, flags: number): number {
  if (flags & FAULT_FLAG_UNSHARE) {
    if (WARN_ON_ONCE(m, (flags & FAULT_FLAG_WRITE) !== 0, 'handle_mm_fault', 'unshare')) return VM_FAULT_SIGSEGV;
  } else if (flags & FAULT_FLAG_WRITE) {
    if (WARN_ON_ONCE(m, (vma.vm_flags & VM_MAYWRITE) === 0, 'handle_mm_fault', 'maywrite')) return VM_FAULT_SIGSEGV;
    if (WARN_ON_ONCE(m, (vma.vm_flags & VM_WRITE) === 0 && !is_cow_mapping(vma.vm_flags), 'handle_mm_fault', 'force'))
      return VM_FAULT_SIGSEGV;
  }
  const nowait = FAULT_FLAG_VMA_LOCK | FAULT_FLAG_RETRY_NOWAIT;
  if (WARN_ON_ONCE(m, (flags & nowait) === nowait, 'handle_mm_fault', 'nowait')) return VM_FAULT_SIGSEGV;
  return 0;
}

/**
 * Handles a fault at the address, which lies in the vma. The caller holds mmap_lock for reading, or with
 * FAULT_FLAG_VMA_LOCK only the vma. Returns VM_FAULT_*; with VM_FAULT_RETRY or VM_FAULT_COMPLETED the lock was released
 * (mm/memory.c: handle_mm_fault()).
 */
export function* handle_mm_fault(m: Machine, vma: vm_area_struct, address: number, flags: number): Gen<number> {
  const ret = sanitize_fault_flags(m, vma, flags);
  if (ret !== 0) return ret;
  if ((flags & FAULT_FLAG_UNSHARE) !== 0 && !is_cow_mapping(vma.vm_flags)) flags &= ~FAULT_FLAG_UNSHARE;
  if (is_vm_hugetlb_page(vma)) return yield* hugetlb_fault(m, vma.vm_mm, vma, address, flags);
  return yield* __handle_mm_fault(m, vma, address, flags);
}

/**
 * Prepares the vma for anonymous pages. Returns 0, VM_FAULT_OOM, or VM_FAULT_RETRY under the per-VMA lock (mm/memory.c:
 * __vmf_anon_prepare()).
 */
export function* __vmf_anon_prepare(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  if (vma.anon_vma !== null) return 0;
  const per_vma = (vmf.flags & FAULT_FLAG_VMA_LOCK) !== 0;
  if (per_vma && m.sched.explore) yield* preempt_point(m, '__vmf_anon_prepare');
  if (per_vma && !mmap_read_trylock(m, vma.vm_mm)) return VM_FAULT_RETRY;
  const ret = (yield* __anon_vma_prepare(m, vma)) !== 0 ? VM_FAULT_OOM : 0;
  if (per_vma) mmap_read_unlock(m, vma.vm_mm);
  return ret;
}
