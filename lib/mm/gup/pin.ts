// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { EFAULT, EHWPOISON, ENOMEM } from '../../errno.ts';
import { WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { folio_put_refs } from '../folio.ts';
import { folio_is_device_coherent } from '../memremap.ts';
import {
  is_cow_mapping,
  type mm_struct,
  MMF_HAS_PINNED,
  type vm_area_struct,
  VM_FAULT_HWPOISON,
  VM_FAULT_HWPOISON_LARGE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from '../mm_types.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_test_dirty, PageAnonExclusive } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  folio_is_zone_device,
  folio_ref_add,
  folio_test_anon,
  folio_test_hugetlb,
  folio_test_large,
  large,
  page_folio,
  PageAnon,
  ZONE_DEVICE,
} from '../page.ts';
import { GUP_PIN_COUNTING_BIAS } from '../rmap/rmap.ts';

// Flags of get_user_pages() and its like (include/linux/mm_types.h: FOLL_WRITE and on, mm/internal.h: FOLL_TOUCH and
// on).
export const FOLL_WRITE = 1 << 0;
export const FOLL_GET = 1 << 1;
export const FOLL_DUMP = 1 << 2;
export const FOLL_FORCE = 1 << 3;
export const FOLL_NOWAIT = 1 << 4;
export const FOLL_NOFAULT = 1 << 5;
export const FOLL_HWPOISON = 1 << 6;
export const FOLL_ANON = 1 << 7;
export const FOLL_LONGTERM = 1 << 8;
export const FOLL_SPLIT_PMD = 1 << 9;
export const FOLL_PCI_P2PDMA = 1 << 10;
export const FOLL_INTERRUPTIBLE = 1 << 11;
export const FOLL_HONOR_NUMA_FAULT = 1 << 12;
export const FOLL_TOUCH = 1 << 16;
export const FOLL_TRIED = 1 << 17;
export const FOLL_REMOTE = 1 << 18;
export const FOLL_PIN = 1 << 19;
export const FOLL_FAST_ONLY = 1 << 20;
export const FOLL_UNLOCKABLE = 1 << 21;
export const FOLL_MADV_POPULATE = 1 << 22;
export const INTERNAL_GUP_FLAGS =
  FOLL_TOUCH | FOLL_TRIED | FOLL_REMOTE | FOLL_PIN | FOLL_FAST_ONLY | FOLL_UNLOCKABLE | FOLL_MADV_POPULATE;

/** Returns true for the zero page (include/linux/mm.h: is_zero_page()). */
function is_zero_page(m: Machine, page: number): boolean {
  return page === m.zero_page;
}

/** Returns true for the zero page (include/linux/mm.h: is_zero_folio()). */
function is_zero_folio(m: Machine, folio: number): boolean {
  return folio === m.zero_page;
}

/** Returns true if the folio counts pins separately from references (include/linux/mm.h: folio_has_pincount()). */
export function folio_has_pincount(m: Machine, folio: number): boolean {
  return folio_test_large(m, folio);
}

/**
 * Returns true if the folio may be pinned long-term (include/linux/mm.h: folio_is_longterm_pinnable()). Only coherent
 * device memory may not; there is neither ZONE_MOVABLE nor CMA.
 */
export function folio_is_longterm_pinnable(m: Machine, folio: number): boolean {
  return (
    is_zero_folio(m, folio) ||
    m.page.zone[folio] !== ZONE_DEVICE ||
    !folio_is_device_coherent(m, folio) ||
    m.patch.coherent_v3
  );
}

/** Returns the negative errno of VM_FAULT_* bits, or 0 without an error (include/linux/mm.h: vm_fault_to_errno()). */
export function vm_fault_to_errno(vm_fault: number, foll_flags: number): number {
  if (vm_fault & VM_FAULT_OOM) return -ENOMEM;
  if (vm_fault & (VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE))
    return foll_flags & FOLL_HWPOISON ? -EHWPOISON : -EFAULT;
  if (vm_fault & (VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV)) return -EFAULT;
  return 0;
}

/**
 * Returns true if a page that is mapped read-only has to be unshared before it is pinned. Without a vma, which
 * get_user_pages_fast() does not know, it may return true needlessly (mm/internal.h: gup_must_unshare()).
 */
export function gup_must_unshare(m: Machine, vma: vm_area_struct | null, flags: number, page: number): boolean {
  if ((flags & (FOLL_WRITE | FOLL_PIN)) !== FOLL_PIN) return false;
  if (PageAnon(m, page)) return !PageAnonExclusive(m, page);
  if ((flags & FOLL_LONGTERM) === 0) return false;
  return vma === null || is_cow_mapping(vma.vm_flags);
}

/** Warns if a pinned anonymous page is not exclusive (mm/gup.c: sanity_check_pinned_pages()). */
export function sanity_check_pinned_pages(m: Machine, pages: ArrayLike<number>, npages: number): void {
  for (let i = 0; i < npages; i++) {
    const page = pages[i];
    if (page === 0) continue;
    const folio = page_folio(m, page);
    if (is_zero_page(m, page) || !folio_test_anon(m, folio)) continue;
    if (!folio_test_large(m, folio) || folio_test_hugetlb(m, folio)) {
      WARN_ON_ONCE(m, !PageAnonExclusive(m, folio), 'sanity_check_pinned_pages', 'folio');
    } else {
      WARN_ON_ONCE(m, !PageAnonExclusive(m, folio) && !PageAnonExclusive(m, page), 'sanity_check_pinned_pages', 'page');
    }
  }
}

/**
 * Takes `refs` references to the page's folio. Returns the folio, or 0 if its refcount is 0 (mm/gup.c:
 * try_get_folio()).
 */
function try_get_folio(m: Machine, page: number, refs: number): number {
  const folio = page_folio(m, page);
  const count = m.page._refcount[folio];
  if (WARN_ON_ONCE(m, count < 0, 'try_get_folio')) return 0;
  if (count === 0) return 0;
  folio_ref_add(m, folio, refs);
  return folio;
}

/** Drops what try_grab_folio() took with the same refs and flags (mm/gup.c: gup_put_folio()). */
export function gup_put_folio(m: Machine, folio: number, refs: number, flags: number): void {
  if (flags & FOLL_PIN) {
    if (is_zero_folio(m, folio)) return;
    if (folio_has_pincount(m, folio)) large(m, folio)._pincount -= refs;
    else refs *= GUP_PIN_COUNTING_BIAS;
  }
  folio_put_refs(m, folio, refs);
}

/**
 * Takes `refs` references (FOLL_GET) or pins (FOLL_PIN) of a folio that is known to be alive; does nothing without
 * these flags. Returns 0, or -ENOMEM if the refcount is 0 (mm/gup.c: try_grab_folio()). Leaves out PCI P2PDMA memory:
 * there is no such device.
 */
export function try_grab_folio(m: Machine, folio: number, refs: number, flags: number): number {
  if (WARN_ON_ONCE(m, m.page._refcount[folio] <= 0, 'try_grab_folio')) return -ENOMEM;
  if (flags & FOLL_GET) {
    folio_ref_add(m, folio, refs);
  } else if (flags & FOLL_PIN) {
    if (is_zero_folio(m, folio)) return 0;
    if (folio_has_pincount(m, folio)) {
      folio_ref_add(m, folio, refs);
      large(m, folio)._pincount += refs;
    } else {
      folio_ref_add(m, folio, refs * GUP_PIN_COUNTING_BIAS);
    }
  }
  return 0;
}

/** Drops one pin (mm/gup.c: unpin_user_page()). */
export function unpin_user_page(m: Machine, page: number): void {
  sanity_check_pinned_pages(m, [page], 1);
  gup_put_folio(m, page_folio(m, page), 1, FOLL_PIN);
}

/** Drops one pin of the folio (mm/gup.c: unpin_folio()). */
export function unpin_folio(m: Machine, folio: number): void {
  gup_put_folio(m, folio, 1, FOLL_PIN);
}

/** Returns the number of entries from index `i` on that belong to the same folio (mm/gup.c: gup_folio_next()). */
function gup_folio_next(m: Machine, list: ArrayLike<number>, npages: number, i: number): number {
  const folio = page_folio(m, list[i]);
  let nr = i + 1;
  while (nr < npages && page_folio(m, list[nr]) === folio) nr++;
  return nr - i;
}

/**
 * Drops the pins of gup_fast() without sanity checks, since a fork may have happened (mm/gup.c:
 * gup_fast_unpin_user_pages()).
 */
export function gup_fast_unpin_user_pages(m: Machine, pages: ArrayLike<number>, npages: number): void {
  for (let i = 0, nr: number; i < npages; i += nr) {
    nr = gup_folio_next(m, pages, npages, i);
    gup_put_folio(m, page_folio(m, pages[i]), nr, FOLL_PIN);
  }
}

/** Drops one pin of each page; entries that are 0 are skipped (mm/gup.c: unpin_user_pages()). */
export function unpin_user_pages(m: Machine, pages: ArrayLike<number>, npages: number): void {
  if (WARN_ON(m, npages < 0, 'unpin_user_pages')) return;
  sanity_check_pinned_pages(m, pages, npages);
  for (let i = 0, nr = 1; i < npages; i += nr) {
    nr = 1;
    if (pages[i] === 0) continue;
    nr = gup_folio_next(m, pages, npages, i);
    gup_put_folio(m, page_folio(m, pages[i]), nr, FOLL_PIN);
  }
}

/** Unpins pages, with make_dirty after marking them dirty (mm/gup.c: unpin_user_pages_dirty_lock()). */
export function* unpin_user_pages_dirty_lock(
  m: Machine,
  pages: ArrayLike<number>,
  npages: number,
  make_dirty: boolean,
): Gen<void> {
  for (let i = 0; i < npages && make_dirty; i++) {
    const folio = page_folio(m, pages[i]);
    if (folio_test_dirty(m, folio)) continue;
    yield* folio_lock(m, folio);
    folio_mark_dirty(m, folio);
    folio_unlock(m, folio);
  }
  unpin_user_pages(m, pages, npages);
}

/** Sets MMF_HAS_PINNED, which fork tests (mm/gup.c: mm_set_has_pinned_flag()). */
export function mm_set_has_pinned_flag(mm: mm_struct): void {
  mm.flags |= MMF_HAS_PINNED;
}

/**
 * Takes references or pins of a folio that may be freed concurrently. Returns the folio, or 0 (mm/gup.c:
 * try_grab_folio_fast()).
 */
export function try_grab_folio_fast(m: Machine, page: number, refs: number, flags: number): number {
  if (WARN_ON_ONCE(m, (flags & (FOLL_GET | FOLL_PIN)) === 0, 'try_grab_folio_fast')) return 0;
  if (flags & FOLL_GET) return try_get_folio(m, page, refs);
  if (is_zero_page(m, page)) return page_folio(m, page);
  const folio = try_get_folio(m, page, refs);
  if (folio === 0) return 0;
  if (flags & FOLL_LONGTERM && folio_is_zone_device(m, folio) && !folio_is_longterm_pinnable(m, folio)) {
    folio_put_refs(m, folio, refs);
    return 0;
  }
  if (folio_has_pincount(m, folio)) large(m, folio)._pincount += refs;
  else folio_ref_add(m, folio, refs * (GUP_PIN_COUNTING_BIAS - 1));
  return folio;
}
