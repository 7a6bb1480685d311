// SPDX-License-Identifier: GPL-2.0-only

import {
  pmd_none,
  pmd_present,
  pmdp_get,
  type ptdesc,
  pte_mkuffd,
  pte_none,
  pte_pfn,
  pte_present,
  pte_uffd,
} from '../../../arch/x86/mm/pgtable/pgtable.ts';
import { pmdp_invalidate_ad, set_pmd_at } from '../../../arch/x86/mm/pgtable/pmd.ts';
import { modify_prot_commit_ptes, modify_prot_start_ptes, set_pte_at } from '../../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../../machine.ts';
import { is_huge_zero_pmd } from '../../../mm/huge_memory/sysfs.ts';
import {
  make_pte_marker_entry,
  pmd_is_migration_entry,
  PTE_MARKER_UFFD_WP,
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_has_pfn,
  softleaf_is_guard_marker,
  softleaf_is_hwpoison,
  softleaf_is_marker,
  softleaf_is_migration,
  softleaf_to_folio,
  softleaf_to_pte,
} from '../../../mm/leafops.ts';
import { is_zero_pfn, vm_normal_page, vm_normal_page_pmd } from '../../../mm/memory/fault.ts';
import type { vm_area_struct } from '../../../mm/mm_types.ts';
import { folio_test_anon, PageAnon, pfn_to_page } from '../../../mm/page.ts';
import { pte_swp_uffd_any, userfaultfd_wp } from '../../../mm/userfaultfd/userfaultfd.ts';

// What a page is (include/uapi/linux/fs.h: PAGE_IS_*). PAGE_IS_SOFT_DIRTY and PAGE_IS_ACCESSED can be asked for but are never
// set: the recorded kernel has no soft-dirty bits, and userfaultfd's read-write protection cannot be registered.
export const PAGE_IS_WPALLOWED = 1 << 0;
export const PAGE_IS_WRITTEN = 1 << 1;
export const PAGE_IS_FILE = 1 << 2;
export const PAGE_IS_PRESENT = 1 << 3;
export const PAGE_IS_SWAPPED = 1 << 4;
export const PAGE_IS_PFNZERO = 1 << 5;
export const PAGE_IS_HUGE = 1 << 6;
export const PAGE_IS_GUARD = 1 << 8;

/** Returns the PAGE_IS_* of a pte; PAGE_IS_FILE only if `masks` has it (fs/proc/task_mmu.c: pagemap_page_category()). */
export function pagemap_page_category(
  m: Machine,
  masks: number,
  vma: vm_area_struct,
  addr: number,
  pte: number,
): number {
  if (pte_none(pte)) return userfaultfd_wp(vma) ? PAGE_IS_WRITTEN : 0;
  let categories: number;
  if (pte_present(pte)) {
    categories = PAGE_IS_PRESENT;
    if (!pte_uffd(pte) && userfaultfd_wp(vma)) categories |= PAGE_IS_WRITTEN;
    if (masks & PAGE_IS_FILE) {
      const page = vm_normal_page(m, vma, addr, pte);
      if (page !== 0 && !PageAnon(m, page)) categories |= PAGE_IS_FILE;
    }
    if (is_zero_pfn(m, pte_pfn(pte))) categories |= PAGE_IS_PFNZERO;
    return categories;
  }
  categories = PAGE_IS_SWAPPED;
  if (!pte_swp_uffd_any(pte) && userfaultfd_wp(vma)) categories |= PAGE_IS_WRITTEN;
  const entry = softleaf_from_pte(pte);
  if (softleaf_is_guard_marker(entry)) categories |= PAGE_IS_GUARD;
  else if (masks & PAGE_IS_FILE && softleaf_has_pfn(entry)) {
    if (!folio_test_anon(m, softleaf_to_folio(m, entry))) categories |= PAGE_IS_FILE;
  }
  return categories;
}

/** Write-protects a pte, also one that maps nothing (fs/proc/task_mmu.c: make_uffd_wp_pte()). */
export function make_uffd_wp_pte(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  ptent: number,
): void {
  if (pte_present(ptent)) {
    const old = modify_prot_start_ptes(m, vma, addr, pt, i, 1);
    modify_prot_commit_ptes(m, vma, addr, pt, i, old, pte_mkuffd(old), 1);
  } else if (pte_none(ptent)) {
    set_pte_at(m, vma.vm_mm, addr, pt, i, softleaf_to_pte(make_pte_marker_entry(PTE_MARKER_UFFD_WP)));
  } else {
    set_pte_at(m, vma.vm_mm, addr, pt, i, pte_mkuffd(ptent));
  }
}

/** Returns the PAGE_IS_* of a huge pmd; PAGE_IS_FILE only if `masks` has it (fs/proc/task_mmu.c: pagemap_thp_category()). */
export function pagemap_thp_category(
  m: Machine,
  masks: number,
  vma: vm_area_struct,
  addr: number,
  pmd: number,
): number {
  let categories = PAGE_IS_HUGE;
  if (pmd_none(pmd)) return categories;
  if (!pte_uffd(pmd) && userfaultfd_wp(vma)) categories |= PAGE_IS_WRITTEN;
  const file_matters = (masks & PAGE_IS_FILE) !== 0;
  if (pmd_present(pmd)) {
    categories |= PAGE_IS_PRESENT;
    if (file_matters) {
      const page = vm_normal_page_pmd(m, vma, addr, pmd);
      if (page !== 0 && !PageAnon(m, page)) categories |= PAGE_IS_FILE;
    }
    if (is_huge_zero_pmd(m, pmd)) categories |= PAGE_IS_PFNZERO;
    return categories;
  }
  categories |= PAGE_IS_SWAPPED;
  const entry = softleaf_from_pmd(pmd);
  if (file_matters && softleaf_has_pfn(entry) && !folio_test_anon(m, softleaf_to_folio(m, entry)))
    categories |= PAGE_IS_FILE;
  return categories;
}

/** fs/proc/task_mmu.c: make_uffd_wp_pmd() */
export function make_uffd_wp_pmd(m: Machine, vma: vm_area_struct, addr: number, pmdt: ptdesc, pi: number): void {
  const pmd = pmdp_get(pmdt, pi);
  if (pmd_present(pmd)) {
    const old = pmdp_invalidate_ad(m, vma, addr, pmdt, pi);
    set_pmd_at(m, vma.vm_mm, addr, pmdt, pi, pte_mkuffd(old));
  } else if (pmd_is_migration_entry(pmd)) {
    set_pmd_at(m, vma.vm_mm, addr, pmdt, pi, pte_mkuffd(pmd));
  }
}

/** Returns the PAGE_IS_* of a hugetlb entry (fs/proc/task_mmu.c: pagemap_hugetlb_category()). */
export function pagemap_hugetlb_category(m: Machine, vma: vm_area_struct, pte: number): number {
  let categories = PAGE_IS_HUGE;
  if (pte_none(pte)) return categories;
  if (pte_present(pte)) {
    categories |= PAGE_IS_PRESENT;
    if (!pte_uffd(pte) && userfaultfd_wp(vma)) categories |= PAGE_IS_WRITTEN;
    if (!PageAnon(m, pfn_to_page(m, pte_pfn(pte)))) categories |= PAGE_IS_FILE;
    if (is_zero_pfn(m, pte_pfn(pte))) categories |= PAGE_IS_PFNZERO;
    return categories;
  }
  categories |= PAGE_IS_SWAPPED;
  if (!pte_swp_uffd_any(pte) && userfaultfd_wp(vma)) categories |= PAGE_IS_WRITTEN;
  return categories;
}

/** fs/proc/task_mmu.c: make_uffd_wp_huge_pte() */
export function make_uffd_wp_huge_pte(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  ptent: number,
): void {
  const mm = vma.vm_mm;
  if (pte_none(ptent)) {
    set_pte_at(m, mm, addr, pt, i, softleaf_to_pte(make_pte_marker_entry(PTE_MARKER_UFFD_WP)));
    return;
  }
  const entry = softleaf_from_pte(ptent);
  if (!pte_present(ptent) && (softleaf_is_hwpoison(entry) || softleaf_is_marker(entry))) return;
  if (!pte_present(ptent) && softleaf_is_migration(entry)) {
    set_pte_at(m, mm, addr, pt, i, pte_mkuffd(ptent));
    return;
  }
  const old = modify_prot_start_ptes(m, vma, addr, pt, i, 1);
  modify_prot_commit_ptes(m, vma, addr, pt, i, old, pte_mkuffd(old), 1);
}
