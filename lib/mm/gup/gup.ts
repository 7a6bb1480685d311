// SPDX-License-Identifier: GPL-2.0-only

import { pmd_lock, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  HPAGE_PMD_NR,
  pgd_index,
  pmd_index,
  pmd_is_table,
  pmd_leaf,
  pmd_none,
  pmd_pfn,
  pmd_present,
  pmd_protnone,
  PMD_SIZE,
  pmd_write,
  type ptdesc,
  pte_dirty,
  pte_index,
  pte_mkdirty,
  pte_mkyoung,
  pte_none,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_soft_dirty,
  pte_write,
  ptep_get,
  pud_index,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EBUSY, EEXIST, EFAULT, EHWPOISON, EINTR, EINVAL, EMLINK, ENOMEM, EOPNOTSUPP } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { Oops, printk, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched, fatal_signal_pending, signal_pending } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_mark_accessed, lru_add_drain, put_page } from '../folio.ts';
import { touch_pmd } from '../huge_memory/fault.ts';
import { split_huge_pmd } from '../huge_memory/split_pmd.ts';
import { is_huge_zero_pmd } from '../huge_memory/sysfs.ts';
import { hugetlb_vma_lock_read, hugetlb_vma_unlock_read } from '../hugetlb/resv.ts';
import { handle_mm_fault, is_zero_pfn, vm_normal_page } from '../memory/fault.ts';
import { pte_alloc } from '../memory/pgalloc.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_INTERRUPTIBLE,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  is_cow_mapping,
  is_vm_hugetlb_page,
  type mm_struct,
  type vm_area_struct,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  VM_GROWSDOWN,
  VM_IO,
  VM_LOCKONFAULT,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_SOFTDIRTY,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm_types.ts';
import { find_vma, find_vma_intersection } from '../mmap/find_vma.ts';
import { mmap_assert_locked, mmap_read_lock, mmap_read_lock_killable, mmap_read_unlock } from '../mmap_lock.ts';
import { folio_test_dirty, PageAnonExclusive } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import { page_folio, PageAnon, pfn_to_page } from '../page.ts';
import { pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { userfaultfd_pte_wp } from '../userfaultfd/userfaultfd.ts';
import { vma_is_accessible, vma_lookup, vma_needs_dirty_tracking } from '../vma/vma.ts';
import { gup_fast_fallback } from './fast.ts';
import { __gup_longterm_locked } from './longterm.ts';
import {
  FOLL_ANON,
  FOLL_DUMP,
  FOLL_FAST_ONLY,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_HWPOISON,
  FOLL_INTERRUPTIBLE,
  FOLL_LONGTERM,
  FOLL_MADV_POPULATE,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PCI_P2PDMA,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_SPLIT_PMD,
  FOLL_TOUCH,
  FOLL_TRIED,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
  gup_must_unshare,
  gup_put_folio,
  INTERNAL_GUP_FLAGS,
  mm_set_has_pinned_flag,
  try_grab_folio,
  vm_fault_to_errno,
} from './pin.ts';

// A `struct page *` that may be an ERR_PTR is a number here: a page, 0 for NULL, or a negative errno. `int *locked` is
// an object whose field is true while mmap_lock is held.

/** Returns true if the caller may follow PROT_NONE entries (include/linux/mm.h: gup_can_follow_protnone()). */
function gup_can_follow_protnone(vma: vm_area_struct, flags: number): boolean {
  return (flags & FOLL_HONOR_NUMA_FAULT) === 0 || !vma_is_accessible(vma);
}

/** Returns true if FOLL_FORCE may write to a read-only page (mm/gup.c: can_follow_write_common()). */
function can_follow_write_common(m: Machine, page: number, vma: vm_area_struct, flags: number): boolean {
  if ((flags & FOLL_FORCE) === 0) return false;
  if (vma.vm_flags & (VM_MAYSHARE | VM_SHARED)) return false;
  if ((vma.vm_flags & VM_MAYWRITE) === 0) return false;
  if (vma.vm_flags & VM_WRITE) return false;
  return page !== 0 && PageAnon(m, page) && PageAnonExclusive(m, page);
}

/**
 * Returns true if the entry may be followed for writing (mm/gup.c: can_follow_write_pte()). Upstream's
 * can_follow_write_pmd() checks the same of a pmd.
 */
function can_follow_write(m: Machine, entry: number, page: number, vma: vm_area_struct, flags: number): boolean {
  if (pte_write(entry)) return true;
  if (!can_follow_write_common(m, page, vma, flags)) return false;
  if ((vma.vm_flags & VM_SOFTDIRTY) === 0 && !pte_soft_dirty(entry)) return false;
  return !userfaultfd_pte_wp(vma, entry);
}

/** Returns 0, or -EFAULT if FOLL_DUMP finds a hole (mm/gup.c: no_page_table()). */
function no_page_table(vma: vm_area_struct, flags: number): number {
  if ((flags & FOLL_DUMP) === 0) return 0;
  if (is_vm_hugetlb_page(vma)) throw new Unmodelled('no_page_table: FOLL_DUMP of hugetlb memory');
  return vma_is_anonymous(vma) || vma.vm_ops?.fault === undefined ? -EFAULT : 0;
}

/**
 * Grabs a page of a huge pmd, under the pmd lock. Returns the page, 0 or a negative errno (mm/gup.c:
 * follow_huge_pmd()).
 */
function follow_huge_pmd(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pmdt: ptdesc,
  pi: number,
  flags: number,
  page_mask: { mask: number },
): number {
  const pmdval = pmdt.entry[pi];
  const page = pfn_to_page(m, pmd_pfn(pmdval));
  if (flags & FOLL_WRITE && !can_follow_write(m, pmdval, page, vma, flags)) return 0;
  if (flags & FOLL_DUMP && is_huge_zero_pmd(m, pmdval)) return -EFAULT;
  if (pmd_protnone(pmdval) && !gup_can_follow_protnone(vma, flags)) return 0;
  if (!pmd_write(pmdval) && gup_must_unshare(m, vma, flags, page)) return -EMLINK;
  WARN_ON_ONCE(m, (flags & FOLL_PIN) !== 0 && PageAnon(m, page) && !PageAnonExclusive(m, page), 'follow_huge_pmd');
  const ret = try_grab_folio(m, page_folio(m, page), 1, flags);
  if (ret !== 0) return ret;
  if (flags & FOLL_TOUCH) touch_pmd(m, vma, addr, pmdt, pi, (flags & FOLL_WRITE) !== 0);
  page_mask.mask = HPAGE_PMD_NR - 1;
  return page + (addr % PMD_SIZE) / PAGE_SIZE;
}

/** Handles a pte without a struct page. Returns -EEXIST (mm/gup.c: follow_pfn_pte()). */
function follow_pfn_pte(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pt: ptdesc,
  i: number,
  flags: number,
): number {
  if (flags & FOLL_TOUCH) {
    const orig_entry = ptep_get(pt, i);
    const entry = pte_mkyoung(flags & FOLL_WRITE ? pte_mkdirty(orig_entry) : orig_entry);
    if (entry !== orig_entry) set_pte_at(m, vma.vm_mm, address, pt, i, entry);
  }
  return -EEXIST;
}

/**
 * Grabs the page of a present pte. Returns the page, 0 or a negative errno. NON-KERNEL: the part of upstream's
 * follow_page_pte() under the page table lock.
 */
function follow_present_pte(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pt: ptdesc,
  pte: number,
  flags: number,
): number {
  let page = vm_normal_page(m, vma, address, pte);
  if (flags & FOLL_WRITE && !can_follow_write(m, pte, page, vma, flags)) return 0;
  if (page === 0) {
    if (flags & FOLL_DUMP) return -EFAULT;
    if (!is_zero_pfn(m, pte_pfn(pte))) return follow_pfn_pte(m, vma, address, pt, pte_index(address), flags);
    page = m.zero_page;
  }
  const folio = page_folio(m, page);
  if (!pte_write(pte) && gup_must_unshare(m, vma, flags, page)) return -EMLINK;
  WARN_ON_ONCE(m, (flags & FOLL_PIN) !== 0 && PageAnon(m, page) && !PageAnonExclusive(m, page), 'follow_page_pte');
  const ret = try_grab_folio(m, folio, 1, flags);
  if (ret !== 0) return ret;
  if (flags & FOLL_TOUCH) {
    if (flags & FOLL_WRITE && !pte_dirty(pte) && !folio_test_dirty(m, folio)) folio_mark_dirty(m, folio);
    folio_mark_accessed(m, folio);
  }
  return page;
}

/** Grabs the page that a pte maps. Returns the page, 0 or a negative errno (mm/gup.c: follow_page_pte()). */
function* follow_page_pte(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
  flags: number,
): Gen<number> {
  const pt = yield* pte_offset_map_lock(m, vma.vm_mm, pmdt, pi, address);
  if (pt === null) return no_page_table(vma, flags);
  const pte = ptep_get(pt, pte_index(address));
  if (!pte_present(pte) || (pte_protnone(pte) && !gup_can_follow_protnone(vma, flags))) {
    pte_unmap_unlock(m, pt);
    return pte_none(pte) ? no_page_table(vma, flags) : 0;
  }
  const page = follow_present_pte(m, vma, address, pt, pte, flags);
  pte_unmap_unlock(m, pt);
  return page;
}

/**
 * Grabs the page that a pmd or its pte table maps. Returns the page, 0 or a negative errno (mm/gup.c:
 * follow_pmd_mask()).
 */
function* follow_pmd_mask(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  flags: number,
  page_mask: { mask: number },
): Gen<number> {
  const mm = vma.vm_mm;
  const pi = pmd_index(address);
  let pmdval = pmdt.entry[pi];
  if (pmd_none(pmdval)) return no_page_table(vma, flags);
  if (pmd_is_table(pmdval)) return yield* follow_page_pte(m, vma, address, pmdt, pi, flags);
  if (!pmd_present(pmdval)) return no_page_table(vma, flags);
  if (pmd_protnone(pmdval) && !gup_can_follow_protnone(vma, flags)) return no_page_table(vma, flags);
  const ptl = yield* pmd_lock(m, mm, pmdt);
  pmdval = pmdt.entry[pi];
  if (!pmd_is_table(pmdval) && !pmd_present(pmdval)) {
    spin_unlock(m, ptl);
    return no_page_table(vma, flags);
  }
  if (!pmd_leaf(pmdval)) {
    spin_unlock(m, ptl);
    return yield* follow_page_pte(m, vma, address, pmdt, pi, flags);
  }
  if (flags & FOLL_SPLIT_PMD) {
    spin_unlock(m, ptl);
    yield* split_huge_pmd(m, vma, pmdt, pi, address);
    if ((yield* pte_alloc(m, mm, pmdt, pi)) !== 0) return -ENOMEM;
    return yield* follow_page_pte(m, vma, address, pmdt, pi, flags);
  }
  const page = follow_huge_pmd(m, vma, address, pmdt, pi, flags, page_mask);
  spin_unlock(m, ptl);
  return page;
}

/**
 * Grabs the page mapped at the address. Returns the page, 0 if it has to be faulted in, -EMLINK if it has to be
 * unshared, or another negative errno (mm/gup.c: follow_page_mask()). Leaves out huge puds: nothing modelled maps them.
 */
function* follow_page_mask(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  flags: number,
  page_mask: { mask: number },
): Gen<number> {
  const hugetlb = is_vm_hugetlb_page(vma);
  if (hugetlb) yield* hugetlb_vma_lock_read(m, vma);
  page_mask.mask = 0;
  const pmdt = vma.vm_mm.pgd.child?.[pgd_index(address)]?.child?.[pud_index(address)] ?? null;
  const page =
    pmdt === null ? no_page_table(vma, flags) : yield* follow_pmd_mask(m, vma, address, pmdt, flags, page_mask);
  if (hugetlb) hugetlb_vma_unlock_read(m, vma);
  return page;
}

/**
 * Faults a page in. Returns 0, -EAGAIN or -EBUSY if the lock was dropped, or another negative errno (mm/gup.c:
 * faultin_page()).
 */
function* faultin_page(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  flags: number,
  unshare: boolean,
  locked: { locked: boolean },
): Gen<number> {
  let fault_flags = 0;
  if (flags & FOLL_NOFAULT) return -EFAULT;
  if (flags & FOLL_WRITE) fault_flags |= FAULT_FLAG_WRITE;
  if (flags & FOLL_REMOTE) fault_flags |= FAULT_FLAG_REMOTE;
  if (flags & FOLL_UNLOCKABLE) {
    fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
    if (flags & FOLL_INTERRUPTIBLE) fault_flags |= FAULT_FLAG_INTERRUPTIBLE;
  }
  if (flags & FOLL_NOWAIT) fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT;
  if (flags & FOLL_TRIED) fault_flags |= FAULT_FLAG_TRIED;
  if (unshare) {
    fault_flags |= FAULT_FLAG_UNSHARE;
    WARN_ON_ONCE(m, (fault_flags & FAULT_FLAG_WRITE) !== 0, 'faultin_page', 'unshare');
  }
  const ret = yield* handle_mm_fault(m, vma, address, fault_flags);
  if (ret & VM_FAULT_COMPLETED) {
    WARN_ON_ONCE(m, (fault_flags & FAULT_FLAG_RETRY_NOWAIT) !== 0, 'faultin_page', 'completed');
    locked.locked = false;
    return -EAGAIN;
  }
  if (ret & VM_FAULT_ERROR) {
    const err = vm_fault_to_errno(ret, flags);
    if (err !== 0) return err;
    throw new Oops('kernel BUG at mm/gup.c: faultin_page()');
  }
  if (ret & VM_FAULT_RETRY) {
    if ((fault_flags & FAULT_FLAG_RETRY_NOWAIT) === 0) locked.locked = false;
    return -EBUSY;
  }
  return 0;
}

/** Returns true if a writable file mapping may be pinned long-term (mm/gup.c: writable_file_mapping_allowed()). */
function writable_file_mapping_allowed(vma: vm_area_struct, gup_flags: number): boolean {
  if ((gup_flags & (FOLL_PIN | FOLL_LONGTERM)) !== (FOLL_PIN | FOLL_LONGTERM)) return true;
  return !vma_needs_dirty_tracking(vma);
}

/**
 * Checks that the vma allows the access. Returns 0, -EFAULT or -EOPNOTSUPP (mm/gup.c: check_vma_flags()). Leaves out
 * secretmem and pkeys: nothing modelled creates either.
 */
function check_vma_flags(m: Machine, vma: vm_area_struct, gup_flags: number): number {
  const vm_flags = vma.vm_flags;
  const vma_anon = vma_is_anonymous(vma);
  if (vm_flags & (VM_IO | VM_PFNMAP)) return -EFAULT;
  if (gup_flags & FOLL_ANON && !vma_anon) return -EFAULT;
  if (gup_flags & FOLL_SPLIT_PMD && is_vm_hugetlb_page(vma) && !m.patch.exclusive_takes_hugetlb) return -EOPNOTSUPP;
  if (gup_flags & FOLL_WRITE) {
    if (!vma_anon && !writable_file_mapping_allowed(vma, gup_flags)) return -EFAULT;
    if ((vm_flags & VM_WRITE) === 0) {
      if ((gup_flags & FOLL_FORCE) === 0 || !is_cow_mapping(vm_flags)) return -EFAULT;
    }
  } else if ((vm_flags & VM_READ) === 0) {
    if ((gup_flags & FOLL_FORCE) === 0 || (vm_flags & VM_MAYREAD) === 0) return -EFAULT;
  }
  return 0;
}

/**
 * Returns the vma at or above addr, or null with a warning for an address just below a stack (mm/gup.c:
 * gup_vma_lookup()).
 */
function gup_vma_lookup(m: Machine, mm: mm_struct, addr: number): vm_area_struct | null {
  const vma = find_vma(mm, addr);
  if (vma === null || addr >= vma.vm_start) return vma;
  if ((vma.vm_flags & VM_GROWSDOWN) === 0 || vma.vm_start - addr > 65536) return null;
  if (m.log.first('gup_vma_lookup')) {
    printk(
      m,
      `GUP no longer grows the stack in ${m.current.comm} (${m.current.pid}): ` +
        `${vma.vm_start.toString(16)}-${vma.vm_end.toString(16)} (${addr.toString(16)})`,
    );
  }
  return null;
}

/**
 * Grabs the pages of [start, start + nr_pages * PAGE_SIZE) and faults them in, into `pages` if not null. Returns the
 * number of pages, a negative errno if there are none, or 0 if a fault dropped the lock (mm/gup.c: __get_user_pages()).
 */
function* __get_user_pages(
  m: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array | null,
  locked: { locked: boolean },
): Gen<number> {
  if (nr_pages === 0) return 0;
  const grab = gup_flags & (FOLL_GET | FOLL_PIN);
  WARN_ON_ONCE(m, (pages !== null) !== (grab !== 0), '__get_user_pages', 'pages');
  WARN_ON_ONCE(m, grab === (FOLL_GET | FOLL_PIN), '__get_user_pages', 'get and pin');
  const page_mask = { mask: 0 };
  let vma: vm_area_struct | null = null;
  let done = 0;
  while (nr_pages > 0) {
    if (vma === null || start >= vma.vm_end) {
      vma = gup_flags & FOLL_MADV_POPULATE ? vma_lookup(mm, start) : gup_vma_lookup(m, mm, start);
      if (vma === null) return done || (gup_flags & FOLL_MADV_POPULATE ? -ENOMEM : -EFAULT);
      const ret = check_vma_flags(m, vma, gup_flags);
      if (ret !== 0) return done || (gup_flags & FOLL_MADV_POPULATE ? -EINVAL : ret);
    }
    if (fatal_signal_pending(m.current)) return done || -EINTR;
    if (m.sched.explore) yield* cond_resched(m);
    const page = yield* follow_page_mask(m, vma, start, gup_flags, page_mask);
    if (page === 0 || page === -EMLINK) {
      const ret = yield* faultin_page(m, vma, start, gup_flags, page === -EMLINK, locked);
      if (ret === 0) continue;
      if (ret === -EBUSY || ret === -EAGAIN) return done;
      if (ret === -EFAULT || ret === -ENOMEM || ret === -EHWPOISON) return done || ret;
      throw new Oops('kernel BUG at mm/gup.c: __get_user_pages()');
    }
    if (page < 0 && (page !== -EEXIST || pages !== null)) return done || page;
    let page_increm = 1;
    if (page_mask.mask !== 0) page_increm = page_mask.mask + 1 - ((start / PAGE_SIZE) & page_mask.mask);
    if (page_increm > nr_pages) page_increm = nr_pages;
    if (pages !== null) {
      if (page_increm > 1) {
        const folio = page_folio(m, page);
        if (try_grab_folio(m, folio, page_increm - 1, gup_flags) !== 0) {
          gup_put_folio(m, folio, 1, gup_flags);
          return done || -EFAULT;
        }
      }
      for (let j = 0; j < page_increm; j++) pages[done + j] = page + j;
    }
    done += page_increm;
    start += page_increm * PAGE_SIZE;
    nr_pages -= page_increm;
  }
  return done;
}

/**
 * Resolves a page fault for a remote access. Returns 0, -EFAULT, -ENOMEM or -EINTR. With `unlocked` the fault may drop
 * mmap_lock, which is retaken (mm/gup.c: fixup_user_fault()).
 */
export function* fixup_user_fault(
  m: Machine,
  mm: mm_struct,
  address: number,
  fault_flags: number,
  unlocked: { unlocked: boolean } | null,
): Gen<number> {
  if (unlocked !== null) fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  for (;;) {
    const vma = gup_vma_lookup(m, mm, address);
    if (vma === null) return -EFAULT;
    if ((vma.vm_flags & (fault_flags & FAULT_FLAG_WRITE ? VM_WRITE : VM_READ)) === 0) return -EFAULT;
    if (fault_flags & FAULT_FLAG_KILLABLE && fatal_signal_pending(m.current)) return -EINTR;
    const ret = yield* handle_mm_fault(m, vma, address, fault_flags);
    if (ret & VM_FAULT_ERROR && (ret & VM_FAULT_COMPLETED) === 0) {
      const err = vm_fault_to_errno(ret, 0);
      if (err !== 0) return err;
      throw new Oops('kernel BUG at mm/gup.c: fixup_user_fault()');
    }
    if ((ret & (VM_FAULT_COMPLETED | VM_FAULT_RETRY)) === 0) return 0;
    yield* mmap_read_lock(m, mm);
    if (unlocked !== null) unlocked.unlocked = true;
    if (ret & VM_FAULT_COMPLETED) return 0;
    fault_flags |= FAULT_FLAG_TRIED;
  }
}

/** Returns true if a signal has to interrupt GUP (mm/gup.c: gup_signal_pending()). */
function gup_signal_pending(m: Machine, flags: number): boolean {
  if (fatal_signal_pending(m.current)) return true;
  return (flags & FOLL_INTERRUPTIBLE) !== 0 && signal_pending(m.current);
}

/**
 * Calls __get_user_pages() again after a fault dropped mmap_lock. Takes mmap_lock itself if `locked` is false on entry;
 * otherwise `locked` tells the caller whether it still holds it (mm/gup.c: __get_user_pages_locked()).
 */
export function* __get_user_pages_locked(
  m: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  pages: Int32Array | null,
  locked: { locked: boolean },
  flags: number,
): Gen<number> {
  if (nr_pages === 0) return 0;
  let must_unlock = false;
  if (!locked.locked) {
    if ((yield* mmap_read_lock_killable(m, mm)) !== 0) return -EAGAIN;
    must_unlock = true;
    locked.locked = true;
  } else {
    mmap_assert_locked(mm);
  }
  if (flags & FOLL_PIN) mm_set_has_pinned_flag(mm);
  if (pages !== null && (flags & FOLL_PIN) === 0) flags |= FOLL_GET;
  let pages_done = 0;
  for (;;) {
    const rest = pages === null ? null : pages.subarray(pages_done);
    let ret = yield* __get_user_pages(m, mm, start, nr_pages, flags, rest, locked);
    if ((flags & FOLL_UNLOCKABLE) === 0) {
      pages_done = ret;
      break;
    }
    WARN_ON_ONCE(m, !locked.locked && (ret < 0 || ret >= nr_pages), '__get_user_pages_locked', 'unlocked');
    if (ret > 0) {
      nr_pages -= ret;
      pages_done += ret;
      if (nr_pages === 0) break;
    }
    if (locked.locked) {
      if (pages_done === 0) pages_done = ret;
      break;
    }
    start += ret * PAGE_SIZE;
    must_unlock = true;
    // Retries the address whose fault dropped the lock with FOLL_TRIED.
    for (;;) {
      if (gup_signal_pending(m, flags)) {
        ret = -EINTR;
        break;
      }
      ret = yield* mmap_read_lock_killable(m, mm);
      if (ret !== 0) break;
      locked.locked = true;
      const one = pages === null ? null : pages.subarray(pages_done, pages_done + 1);
      ret = yield* __get_user_pages(m, mm, start, 1, flags | FOLL_TRIED, one, locked);
      if (locked.locked) break;
      WARN_ON_ONCE(m, ret !== 0, '__get_user_pages_locked', 'retry');
    }
    if (ret !== 1) {
      WARN_ON_ONCE(m, ret > 1, '__get_user_pages_locked', 'more than one');
      if (pages_done === 0) pages_done = ret;
      break;
    }
    nr_pages--;
    pages_done++;
    if (nr_pages === 0) break;
    start += PAGE_SIZE;
  }
  if (must_unlock && locked.locked) {
    mmap_read_unlock(m, mm);
    locked.locked = false;
  }
  if (WARN_ON_ONCE(m, pages_done === 0 && (flags & FOLL_NOWAIT) === 0, '__get_user_pages_locked', 'nothing'))
    return -EFAULT;
  return pages_done;
}

/**
 * Faults in [start, end) of one vma, for writing if it is private and writable. With `locked` mmap_lock may be dropped.
 * Returns the number of pages or a negative errno (mm/gup.c: populate_vma_page_range()).
 */
export function* populate_vma_page_range(
  m: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  locked: { locked: boolean } | null,
): Gen<number> {
  const mm = vma.vm_mm;
  const nr_pages = (end - start) / PAGE_SIZE;
  mmap_assert_locked(mm);
  if (vma.vm_flags & VM_LOCKONFAULT) return nr_pages;
  if (!vma_is_accessible(vma)) return -EFAULT;
  let gup_flags = FOLL_TOUCH;
  gup_flags |= (vma.vm_flags & (VM_WRITE | VM_SHARED)) === VM_WRITE ? FOLL_WRITE : FOLL_FORCE;
  if (locked !== null) gup_flags |= FOLL_UNLOCKABLE;
  const ret = yield* __get_user_pages(m, mm, start, nr_pages, gup_flags, null, locked ?? { locked: true });
  lru_add_drain(m);
  return ret;
}

/**
 * Faults in [start, end) for MADV_POPULATE_READ and MADV_POPULATE_WRITE. Returns the number of pages, -ENOMEM for a
 * hole or -EINVAL for a vma that forbids it (mm/gup.c: faultin_page_range()).
 */
export function* faultin_page_range(
  m: Machine,
  mm: mm_struct,
  start: number,
  end: number,
  write: boolean,
  locked: { locked: boolean },
): Gen<number> {
  mmap_assert_locked(mm);
  let gup_flags = FOLL_TOUCH | FOLL_HWPOISON | FOLL_UNLOCKABLE | FOLL_MADV_POPULATE;
  if (write) gup_flags |= FOLL_WRITE;
  const ret = yield* __get_user_pages_locked(m, mm, start, (end - start) / PAGE_SIZE, null, locked, gup_flags);
  lru_add_drain(m);
  return ret;
}

/**
 * Faults in every mapped part of [start, start + len) of the current mm, for mlock() and MAP_POPULATE. Returns 0 or a
 * negative errno (mm/gup.c: __mm_populate()).
 */
function* __mm_populate(m: Machine, start: number, len: number, ignore_errors: boolean): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const end = start + len;
  const state = { locked: false };
  let vma: vm_area_struct | null = null;
  let ret = 0;
  for (let nstart = start, nend: number; nstart < end; nstart = nend) {
    if (!state.locked) {
      state.locked = true;
      yield* mmap_read_lock(m, mm);
      vma = find_vma_intersection(mm, nstart, end);
    } else if (vma !== null && nstart >= vma.vm_end) {
      vma = find_vma_intersection(mm, vma.vm_end, end);
    }
    if (vma === null) break;
    nend = Math.min(end, vma.vm_end);
    if (vma.vm_flags & (VM_IO | VM_PFNMAP)) continue;
    if (nstart < vma.vm_start) nstart = vma.vm_start;
    ret = yield* populate_vma_page_range(m, vma, nstart, nend, state);
    if (ret < 0) {
      if (!ignore_errors) break;
      ret = 0;
      continue;
    }
    nend = nstart + ret * PAGE_SIZE;
    ret = 0;
  }
  if (state.locked) mmap_read_unlock(m, mm);
  return ret;
}

/** Calls __mm_populate() and ignores errors (include/linux/mm.h: mm_populate()). */
export function* mm_populate(m: Machine, addr: number, len: number): Gen<void> {
  yield* __mm_populate(m, addr, len, true);
}

/**
 * Returns the flags with `to_set` added, or null with a warning if the caller must not pass them (mm/gup.c:
 * is_valid_gup_args()).
 */
function is_valid_gup_args(
  m: Machine,
  pages: Int32Array | null,
  locked: { locked: boolean } | null,
  gup_flags: number,
  to_set: number,
): number | null {
  if (WARN_ON_ONCE(m, (gup_flags & INTERNAL_GUP_FLAGS) !== 0, 'is_valid_gup_args', 'internal flags')) return null;
  gup_flags |= to_set;
  if (locked !== null) {
    if (WARN_ON_ONCE(m, !locked.locked, 'is_valid_gup_args', 'not locked')) return null;
    gup_flags |= FOLL_UNLOCKABLE;
  }
  if (
    WARN_ON_ONCE(m, (gup_flags & (FOLL_PIN | FOLL_GET)) === (FOLL_PIN | FOLL_GET), 'is_valid_gup_args', 'get and pin')
  )
    return null;
  if (
    WARN_ON_ONCE(
      m,
      (gup_flags & FOLL_PIN) === 0 && (gup_flags & FOLL_LONGTERM) !== 0,
      'is_valid_gup_args',
      'longterm without pin',
    )
  )
    return null;
  if (WARN_ON_ONCE(m, (gup_flags & (FOLL_GET | FOLL_PIN)) !== 0 && pages === null, 'is_valid_gup_args', 'no pages'))
    return null;
  if (
    WARN_ON_ONCE(
      m,
      (gup_flags & FOLL_LONGTERM) !== 0 && (gup_flags & FOLL_PCI_P2PDMA) !== 0,
      'is_valid_gup_args',
      'longterm p2pdma',
    )
  )
    return null;
  return gup_flags;
}

/**
 * Gets pages of a remote mm, whose mmap_lock is held; with `locked` it may be dropped. Returns the number of pages, or
 * a negative errno if there are none (mm/gup.c: get_user_pages_remote()).
 */
export function* get_user_pages_remote(
  m: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array | null,
  locked: { locked: boolean } | null,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, locked, gup_flags, FOLL_TOUCH | FOLL_REMOTE);
  if (flags === null) return -EINVAL;
  return yield* __get_user_pages_locked(m, mm, start, nr_pages, pages, locked ?? { locked: true }, flags);
}

/**
 * Gets one page of a remote mm and its vma in vmap.vma. Returns the page or a negative errno (include/linux/mm.h:
 * get_user_page_vma_remote()).
 */
export function* get_user_page_vma_remote(
  m: Machine,
  mm: mm_struct,
  addr: number,
  gup_flags: number,
  vmap: { vma: vm_area_struct | null },
): Gen<number> {
  if (WARN_ON_ONCE(m, (gup_flags & FOLL_NOWAIT) !== 0, 'get_user_page_vma_remote', 'nowait')) return -EINVAL;
  const page = new Int32Array(1);
  const got = yield* get_user_pages_remote(m, mm, addr, 1, gup_flags, page, null);
  if (got < 0) return got;
  const vma = vma_lookup(mm, addr);
  if (WARN_ON_ONCE(m, vma === null, 'get_user_page_vma_remote', 'no vma')) {
    put_page(m, page[0]);
    return -EINVAL;
  }
  vmap.vma = vma;
  return page[0];
}

/** Gets pages of the current mm without dropping mmap_lock (mm/gup.c: get_user_pages()). */
export function* get_user_pages(
  m: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array | null,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, null, gup_flags, FOLL_TOUCH);
  if (flags === null) return -EINVAL;
  return yield* __get_user_pages_locked(m, m.current.mm as mm_struct, start, nr_pages, pages, { locked: true }, flags);
}

/** Gets pages of the current mm and takes mmap_lock itself (mm/gup.c: get_user_pages_unlocked()). */
export function* get_user_pages_unlocked(
  m: Machine,
  start: number,
  nr_pages: number,
  pages: Int32Array | null,
  gup_flags: number,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, null, gup_flags, FOLL_TOUCH | FOLL_UNLOCKABLE);
  if (flags === null) return -EINVAL;
  return yield* __get_user_pages_locked(m, m.current.mm as mm_struct, start, nr_pages, pages, { locked: false }, flags);
}

/**
 * Gets pages of the current mm without locks, up to the first one that has to be faulted in (mm/gup.c:
 * get_user_pages_fast_only()).
 */
export function* get_user_pages_fast_only(
  m: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, null, gup_flags, FOLL_GET | FOLL_FAST_ONLY);
  if (flags === null) return -EINVAL;
  return yield* gup_fast_fallback(m, start, nr_pages, flags, pages);
}

/** Gets pages of the current mm, without locks if possible (mm/gup.c: get_user_pages_fast()). */
export function* get_user_pages_fast(
  m: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, null, gup_flags, FOLL_GET);
  if (flags === null) return -EINVAL;
  return yield* gup_fast_fallback(m, start, nr_pages, flags, pages);
}

/** Pins pages of the current mm, without locks if possible (mm/gup.c: pin_user_pages_fast()). */
export function* pin_user_pages_fast(
  m: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, null, gup_flags, FOLL_PIN);
  if (flags === null) return -EINVAL;
  return yield* gup_fast_fallback(m, start, nr_pages, flags, pages);
}

/**
 * Pins pages of the current mm without dropping mmap_lock. Returns 0 for invalid flags (mm/gup.c: pin_user_pages()).
 */
export function* pin_user_pages(
  m: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, null, gup_flags, FOLL_PIN);
  if (flags === null) return 0;
  return yield* __gup_longterm_locked(m, m.current.mm as mm_struct, start, nr_pages, pages, { locked: true }, flags);
}

/**
 * Pins pages of a remote mm, whose mmap_lock is held; with `locked` it may be dropped. Returns 0 for invalid flags
 * (mm/gup.c: pin_user_pages_remote()).
 */
export function* pin_user_pages_remote(
  m: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array,
  locked: { locked: boolean } | null,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, locked, gup_flags, FOLL_PIN | FOLL_TOUCH | FOLL_REMOTE);
  if (flags === null) return 0;
  return yield* __gup_longterm_locked(m, mm, start, nr_pages, pages, locked ?? { locked: true }, flags);
}

/**
 * Pins pages of the current mm and takes mmap_lock itself. Returns 0 for invalid flags (mm/gup.c:
 * pin_user_pages_unlocked()).
 */
export function* pin_user_pages_unlocked(
  m: Machine,
  start: number,
  nr_pages: number,
  pages: Int32Array,
  gup_flags: number,
): Gen<number> {
  const flags = is_valid_gup_args(m, pages, null, gup_flags, FOLL_PIN | FOLL_TOUCH | FOLL_UNLOCKABLE);
  if (flags === null) return 0;
  return yield* __gup_longterm_locked(m, m.current.mm as mm_struct, start, nr_pages, pages, { locked: false }, flags);
}
