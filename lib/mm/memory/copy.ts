// SPDX-License-Identifier: GPL-2.0-only

import { folio_mk_pte, maybe_mkwrite, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  HPAGE_PMD_SIZE,
  pgd_index,
  PGDIR_SIZE,
  pmd_addr_end,
  pmd_index,
  pmd_is_table,
  type ptdesc,
  pte_clear_uffd,
  pte_index,
  pte_mkclean,
  pte_mkdirty,
  pte_mkold,
  pte_mkuffd,
  pte_none,
  pte_present,
  pte_uffd,
  pte_write,
  pte_wrprotect,
  pud_addr_end,
  pud_index,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import {
  folio_pte_batch_flags,
  FPB_MERGE_WRITE,
  FPB_RESPECT_DIRTY,
  set_pte_at,
  set_ptes,
  wrprotect_ptes,
} from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EBUSY, ENOENT, ENOMEM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_add_lru_vma, folio_put } from '../folio.ts';
import { copy_huge_pmd } from '../huge_memory/copy.ts';
import { pmd_is_huge } from '../huge_memory/sysfs.ts';
import { copy_hugetlb_page_range } from '../hugetlb/vma.ts';
import {
  make_pte_marker_entry,
  make_readable_device_private_entry_from_page,
  make_readable_migration_entry_from_page,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  PTE_MARKER_UFFD_WP,
  softleaf_from_pte,
  softleaf_is_device_exclusive,
  softleaf_is_device_private,
  softleaf_is_device_private_write,
  softleaf_is_marker,
  softleaf_is_migration,
  softleaf_is_swap,
  softleaf_to_flags,
  softleaf_to_marker,
  softleaf_to_page,
  softleaf_to_pte,
} from '../leafops.ts';
import {
  add_mm_counter,
  is_cow_mapping,
  is_vm_hugetlb_page,
  MM_ANONPAGES,
  mm_counter,
  mm_counter_file,
  type vm_area_struct,
  VM_MAYBE_GUARD,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
  VM_UFFD_WP,
} from '../mm_types.ts';
import { vma_assert_write_locked } from '../mmap_lock.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_PROTECTION_PAGE,
} from '../mmu_notifier.ts';
import { folio_mark_uptodate, PageAnonExclusive } from '../page-flags.ts';
import {
  folio_get,
  folio_ref_add,
  folio_ref_sub,
  folio_test_anon,
  folio_test_large,
  page_folio,
  page_to_pfn,
} from '../page.ts';
import { folio_alloc, GFP_HIGHUSER_MOVABLE } from '../page_alloc.ts';
import { pte_offset_map } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import {
  folio_add_new_anon_rmap,
  folio_dup_file_rmap_pte,
  folio_dup_file_rmap_ptes,
  folio_try_dup_anon_rmap_pte,
  folio_try_dup_anon_rmap_ptes,
  RMAP_EXCLUSIVE,
} from '../rmap/rmap.ts';
import { userfaultfd_protected, userfaultfd_wp } from '../userfaultfd/userfaultfd.ts';
import { try_restore_exclusive_pte, vm_normal_page } from './fault.ts';
import { pmd_alloc, pte_alloc_map_lock, pud_alloc } from './pgalloc.ts';

/** Vmas whose page tables cannot be rebuilt by faults (include/linux/mm.h: VM_COPY_ON_FORK). */
const VM_COPY_ON_FORK = VM_PFNMAP | VM_MIXEDMAP | VM_UFFD_WP | VM_MAYBE_GUARD;

/** State of copying one pte table. NON-KERNEL: arguments and local variables of upstream's copy_pte_range(). */
interface pte_copy {
  readonly dst_vma: vm_area_struct;
  readonly src_vma: vm_area_struct;
  readonly rss: Int32Array;
  /** Folio allocated ahead for the copy of a pinned page, or 0. */
  prealloc: number;
}

/** Returns the PTE_MARKER_* bits that the child inherits (include/linux/mm_inline.h: copy_pte_marker()). */
export function copy_pte_marker(m: Machine, entry: number, dst_vma: vm_area_struct): number {
  const src = softleaf_to_marker(m, entry);
  let dst = src & (PTE_MARKER_POISONED | PTE_MARKER_GUARD);
  if (src & PTE_MARKER_UFFD_WP && userfaultfd_wp(dst_vma)) dst |= PTE_MARKER_UFFD_WP;
  return dst;
}

/**
 * Copies a non-present pte. Returns 0, -ENOENT if a device-exclusive entry was restored in the parent, or -EBUSY if its
 * folio is locked (mm/memory.c: copy_nonpresent_pte()).
 */
function copy_nonpresent_pte(m: Machine, copy: pte_copy, dst_pt: ptdesc, src_pt: ptdesc, addr: number): number {
  const { dst_vma, src_vma, rss } = copy;
  const dst_mm = dst_vma.vm_mm;
  const src_mm = src_vma.vm_mm;
  const i = pte_index(addr);
  const orig_pte = src_pt.entry[i];
  let entry = softleaf_from_pte(orig_pte);
  let pte = orig_pte;
  if (softleaf_is_swap(entry)) {
    throw new Unmodelled('copy_nonpresent_pte: swap entries');
  } else if (softleaf_is_migration(entry)) {
    const page = softleaf_to_page(m, entry);
    rss[mm_counter(m, page_folio(m, page))]++;
    if (!m.device_private.is_migration_read(entry) && is_cow_mapping(dst_vma.vm_flags)) {
      entry = make_readable_migration_entry_from_page(m, page, softleaf_to_flags(m, entry));
      pte = softleaf_to_pte(entry);
      if (pte_uffd(orig_pte)) pte = pte_mkuffd(pte);
      set_pte_at(m, src_mm, addr, src_pt, i, pte);
    }
  } else if (softleaf_is_device_private(entry)) {
    const page = softleaf_to_page(m, entry);
    const folio = page_folio(m, page);
    folio_get(m, folio);
    rss[mm_counter(m, folio)]++;
    folio_try_dup_anon_rmap_pte(m, folio, page, dst_vma, src_vma);
    if (softleaf_is_device_private_write(entry) && is_cow_mapping(dst_vma.vm_flags)) {
      entry = make_readable_device_private_entry_from_page(m, page);
      pte = softleaf_to_pte(entry);
      if (pte_uffd(orig_pte)) pte = pte_mkuffd(pte);
      set_pte_at(m, src_mm, addr, src_pt, i, pte);
    }
  } else if (softleaf_is_device_exclusive(entry)) {
    BUG_ON(
      !is_cow_mapping(src_vma.vm_flags),
      'mm/memory.c: copy_nonpresent_pte() of an exclusive entry in a shared mapping',
    );
    if (try_restore_exclusive_pte(m, src_vma, addr, src_pt, i, orig_pte)) return -EBUSY;
    return -ENOENT;
  } else if (softleaf_is_marker(entry)) {
    const marker = copy_pte_marker(m, entry, dst_vma);
    if (marker !== 0) set_pte_at(m, dst_mm, addr, dst_pt, i, softleaf_to_pte(make_pte_marker_entry(marker)));
    return 0;
  }
  if (!userfaultfd_protected(dst_vma)) pte = pte_clear_uffd(pte);
  set_pte_at(m, dst_mm, addr, dst_pt, i, pte);
  return 0;
}

/**
 * Copies the contents of a page that may be pinned for the child. Returns 0, or -EAGAIN if copy.prealloc is missing
 * (mm/memory.c: copy_present_page()).
 */
function copy_present_page(
  m: Machine,
  copy: pte_copy,
  dst_pt: ptdesc,
  src_pt: ptdesc,
  addr: number,
  page: number,
): number {
  const { dst_vma } = copy;
  const i = pte_index(addr);
  const new_folio = copy.prealloc;
  if (new_folio === 0) return -EAGAIN;
  m.ram.copy(page_to_pfn(m, new_folio), page_to_pfn(m, page));
  copy.prealloc = 0;
  folio_mark_uptodate(m, new_folio);
  folio_add_new_anon_rmap(m, new_folio, dst_vma, addr, RMAP_EXCLUSIVE);
  folio_add_lru_vma(m, new_folio, dst_vma);
  copy.rss[MM_ANONPAGES]++;
  let pte = maybe_mkwrite(pte_mkdirty(folio_mk_pte(m, new_folio, dst_vma.vm_page_prot)), dst_vma);
  if (userfaultfd_protected(dst_vma) && pte_uffd(src_pt.entry[i])) pte = pte_mkuffd(pte);
  set_pte_at(m, dst_vma.vm_mm, addr, dst_pt, i, pte);
  return 0;
}

/** Sets `nr` ptes in the child and write-protects them in the parent (mm/memory.c: __copy_present_ptes()). */
function __copy_present_ptes(
  m: Machine,
  copy: pte_copy,
  dst_pt: ptdesc,
  src_pt: ptdesc,
  pte: number,
  addr: number,
  nr: number,
): void {
  const { dst_vma, src_vma } = copy;
  const i = pte_index(addr);
  const writable = pte_write(pte);
  if (!userfaultfd_protected(dst_vma)) pte = pte_clear_uffd(pte);
  if (is_cow_mapping(src_vma.vm_flags) && writable) {
    wrprotect_ptes(m, src_vma.vm_mm, addr, src_pt, i, nr);
    pte = pte_wrprotect(pte);
  }
  if (src_vma.vm_flags & VM_SHARED) pte = pte_mkclean(pte);
  set_ptes(m, dst_vma.vm_mm, addr, dst_pt, i, pte_mkold(pte), nr);
}

/**
 * Copies one present pte or a batch that maps one folio. Returns the number copied, or -EAGAIN if a folio has to be
 * preallocated (mm/memory.c: copy_present_ptes()).
 */
function copy_present_ptes(
  m: Machine,
  copy: pte_copy,
  dst_pt: ptdesc,
  src_pt: ptdesc,
  pte: number,
  addr: number,
  max_nr: number,
): number {
  const { dst_vma, src_vma, rss } = copy;
  const page = vm_normal_page(m, src_vma, addr, pte);
  if (page === 0) {
    __copy_present_ptes(m, copy, dst_pt, src_pt, pte, addr, 1);
    return 1;
  }
  const folio = page_folio(m, page);
  if (copy.prealloc === 0 && folio_test_large(m, folio) && max_nr !== 1) {
    const ptent = { pte };
    const flags = FPB_MERGE_WRITE | (src_vma.vm_flags & VM_SHARED ? 0 : FPB_RESPECT_DIRTY);
    const nr = folio_pte_batch_flags(m, folio, src_vma, src_pt, pte_index(addr), ptent, max_nr, flags);
    folio_ref_add(m, folio, nr);
    if (folio_test_anon(m, folio)) {
      if (folio_try_dup_anon_rmap_ptes(m, folio, page, nr, dst_vma, src_vma)) {
        folio_ref_sub(m, folio, nr);
        return -EAGAIN;
      }
      rss[MM_ANONPAGES] += nr;
      WARN_ON_ONCE(m, PageAnonExclusive(m, page), 'copy_present_ptes');
    } else {
      folio_dup_file_rmap_ptes(m, folio, page, nr, dst_vma);
      rss[mm_counter_file(m, folio)] += nr;
    }
    __copy_present_ptes(m, copy, dst_pt, src_pt, ptent.pte, addr, nr);
    return nr;
  }
  folio_get(m, folio);
  if (folio_test_anon(m, folio)) {
    if (folio_try_dup_anon_rmap_pte(m, folio, page, dst_vma, src_vma)) {
      folio_put(m, folio);
      return copy_present_page(m, copy, dst_pt, src_pt, addr, page) || 1;
    }
    rss[MM_ANONPAGES]++;
    WARN_ON_ONCE(m, PageAnonExclusive(m, page), 'copy_present_ptes');
  } else {
    folio_dup_file_rmap_pte(m, folio, page, dst_vma);
    rss[mm_counter_file(m, folio)]++;
  }
  __copy_present_ptes(m, copy, dst_pt, src_pt, pte, addr, 1);
  return 1;
}

/**
 * Copies a range of one pte table. Returns 0 or a negative errno (mm/memory.c: copy_pte_range()). Leaves out swap
 * entries, hence -EIO: there are no swap devices.
 */
function* copy_pte_range(
  m: Machine,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  dst_pmdt: ptdesc,
  src_pmdt: ptdesc,
  addr: number,
  end: number,
): Gen<number> {
  const dst_mm = dst_vma.vm_mm;
  const pi = pmd_index(addr);
  const rss = new Int32Array(4);
  const copy: pte_copy = { dst_vma, src_vma, rss, prealloc: 0 };
  let ret = 0;
  do {
    ret = 0;
    rss.fill(0);
    const dst_pt = yield* pte_alloc_map_lock(m, dst_mm, dst_pmdt, pi, addr);
    if (dst_pt === null) {
      ret = -ENOMEM;
      break;
    }
    const src_pt = pte_offset_map(m, src_pmdt, pi);
    if (src_pt === null) {
      pte_unmap_unlock(m, dst_pt);
      break;
    }
    yield* spin_lock(m, src_pt.ptl);
    let nr = 1;
    for (; addr !== end; addr += nr * PAGE_SIZE) {
      nr = 1;
      const i = pte_index(addr);
      let ptent = src_pt.entry[i];
      if (pte_none(ptent)) continue;
      if (!pte_present(ptent)) {
        ret = copy_nonpresent_pte(m, copy, dst_pt, src_pt, addr);
        if (ret === -EBUSY) break;
        if (ret === 0) continue;
        ptent = src_pt.entry[i];
        WARN_ON_ONCE(m, !pte_present(ptent) || ret !== -ENOENT, 'copy_pte_range');
      }
      ret = copy_present_ptes(m, copy, dst_pt, src_pt, ptent, addr, (end - addr) / PAGE_SIZE);
      if (ret === -EAGAIN) break;
      if (copy.prealloc !== 0) {
        folio_put(m, copy.prealloc);
        copy.prealloc = 0;
      }
      nr = ret;
    }
    spin_unlock(m, src_pt.ptl);
    for (let k = 0; k < 4; k++) if (rss[k] !== 0) add_mm_counter(dst_mm, k, rss[k]);
    pte_unmap_unlock(m, dst_pt);
    yield* cond_resched(m);
    if (ret === -EBUSY) break;
    if (ret === -EAGAIN) {
      copy.prealloc = folio_alloc(m, GFP_HIGHUSER_MOVABLE, 0);
      if (copy.prealloc === 0) return -ENOMEM;
    }
    ret = 0;
  } while (addr !== end);
  if (copy.prealloc !== 0) folio_put(m, copy.prealloc);
  return ret;
}

/** Copies a range of one pmd table. Returns 0 or -ENOMEM (mm/memory.c: copy_pmd_range()). */
function* copy_pmd_range(
  m: Machine,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  dst_pudt: ptdesc,
  src_pmdt: ptdesc,
  addr: number,
  end: number,
): Gen<number> {
  const dst_pmdt = yield* pmd_alloc(m, dst_vma.vm_mm, dst_pudt, pud_index(addr), addr);
  if (dst_pmdt === null) return -ENOMEM;
  for (let next: number; addr !== end; addr = next) {
    next = pmd_addr_end(addr, end);
    const pi = pmd_index(addr);
    if (pmd_is_huge(src_pmdt.entry[pi])) {
      BUG_ON(next - addr !== HPAGE_PMD_SIZE, 'mm/memory.c: copy_pmd_range() of part of a huge pmd');
      const err = yield* copy_huge_pmd(m, dst_pmdt, src_pmdt, addr, dst_vma, src_vma);
      if (err === -ENOMEM) return -ENOMEM;
      if (err === 0) continue;
    }
    if (!pmd_is_table(src_pmdt.entry[pi])) continue;
    if (yield* copy_pte_range(m, dst_vma, src_vma, dst_pmdt, src_pmdt, addr, next)) return -ENOMEM;
  }
  return 0;
}

/** Returns true if the child needs copies of the vma's page tables (mm/memory.c: vma_needs_copy()). */
export function vma_needs_copy(dst_vma: vm_area_struct, src_vma: vm_area_struct): boolean {
  return (dst_vma.vm_flags & VM_COPY_ON_FORK) !== 0 || src_vma.anon_vma !== null;
}

/**
 * Copies the page tables of a vma for fork. Private pages become read-only in both processes, pinned ones are copied.
 * Returns 0 or -ENOMEM, the latter also when the folio of a device-exclusive entry is locked (mm/memory.c:
 * copy_page_range()).
 */
export function* copy_page_range(m: Machine, dst_vma: vm_area_struct, src_vma: vm_area_struct): Gen<number> {
  if (!vma_needs_copy(dst_vma, src_vma)) return 0;
  const dst_mm = dst_vma.vm_mm;
  const src_mm = src_vma.vm_mm;
  if (is_vm_hugetlb_page(src_vma)) return yield* copy_hugetlb_page_range(m, dst_mm, src_mm, dst_vma, src_vma);
  const end = src_vma.vm_end;
  const is_cow = is_cow_mapping(src_vma.vm_flags);
  const range = new mmu_notifier_range();
  if (is_cow) {
    mmu_notifier_range_init(range, MMU_NOTIFY_PROTECTION_PAGE, 0, src_mm, src_vma.vm_start, end);
    yield* mmu_notifier_invalidate_range_start(m, range);
    vma_assert_write_locked(src_vma);
    src_mm.write_protect_seq++;
  }
  let ret = 0;
  for (let addr = src_vma.vm_start, next: number; addr !== end && ret === 0; addr = next) {
    const src_pudt = src_mm.pgd.child?.[pgd_index(addr)] ?? null;
    if (src_pudt === null) {
      next = Math.min(ALIGN_DOWN(addr, PGDIR_SIZE) + PGDIR_SIZE, end);
      continue;
    }
    next = pud_addr_end(addr, end);
    const dst_pudt = yield* pud_alloc(m, dst_mm, dst_mm.pgd, pgd_index(addr), addr);
    const src_pmdt = src_pudt.child?.[pud_index(addr)] ?? null;
    if (dst_pudt === null) ret = -ENOMEM;
    else if (src_pmdt !== null) ret = yield* copy_pmd_range(m, dst_vma, src_vma, dst_pudt, src_pmdt, addr, next);
  }
  if (is_cow) {
    src_mm.write_protect_seq++;
    yield* mmu_notifier_invalidate_range_end(m, range);
  }
  return ret;
}
