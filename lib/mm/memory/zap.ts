// SPDX-License-Identifier: GPL-2.0-only

import { mk_pte, mm_dec_nr_ptes, pmd_clear, pmd_lock, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  HPAGE_PMD_SIZE,
  pgd_index,
  PGDIR_SIZE,
  pmd_addr_end,
  pmd_index,
  pmd_none,
  PMD_SIZE,
  type ptdesc,
  pte_dirty,
  pte_index,
  pte_mkspecial,
  pte_none,
  pte_present,
  pte_uffd,
  pte_young,
  PTRS_PER_PTE,
  pud_addr_end,
  pud_index,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import {
  clear_full_ptes,
  clear_nonpresent_ptes,
  get_and_clear_full_ptes,
  ptep_get_and_clear_full,
  set_pte_at,
} from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EBUSY, EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import type { address_space } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_read, up_read } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_trylock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched, preempt_point } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_mark_accessed, folio_put } from '../folio.ts';
import { __split_huge_pmd } from '../huge_memory/split_pmd.ts';
import { folio_test_pmd_mappable, pmd_is_huge } from '../huge_memory/sysfs.ts';
import { zap_huge_pmd } from '../huge_memory/zap.ts';
import { __unmap_hugepage_range, hugetlb_zap_begin, hugetlb_zap_end } from '../hugetlb/vma.ts';
import {
  make_pte_marker_entry,
  PTE_MARKER_UFFD_WP,
  softleaf_from_pte,
  softleaf_is_device_exclusive,
  softleaf_is_device_private,
  softleaf_is_guard_marker,
  softleaf_is_hwpoison,
  softleaf_is_migration,
  softleaf_is_poison_marker,
  softleaf_is_swap,
  softleaf_is_uffd_wp_marker,
  softleaf_to_folio,
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
  type mm_struct,
  type vm_area_struct,
  VM_MAYWRITE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm_types.ts';
import { mmap_read_trylock } from '../mmap_lock.ts';
import {
  __tlb_remove_folio_pages,
  mmu_gather,
  pte_free_tlb,
  tlb_change_page_size,
  tlb_delay_rmap,
  tlb_end_vma,
  tlb_finish_mmu,
  tlb_flush_mmu,
  tlb_flush_mmu_tlbonly,
  tlb_flush_rmaps,
  tlb_gather_mmu,
  tlb_remove_tlb_entries,
  tlb_remove_tlb_entry,
  tlb_start_vma,
} from '../mmu_gather.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_invalidate_range_start_nonblock,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
  MMU_NOTIFY_UNMAP,
} from '../mmu_notifier.ts';
import { folio_test_locked } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import { folio_get, folio_nr_pages, folio_ref_count, folio_test_anon, folio_test_large, page_folio } from '../page.ts';
import { pte_offset_map, pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { device_exclusive_is_mapping } from '../rmap/device_exclusive.ts';
import {
  folio_add_file_rmap_pte,
  folio_mapcount,
  folio_remove_rmap_pte,
  folio_remove_rmap_ptes,
} from '../rmap/rmap.ts';
import { flush_tlb_batched_pending } from '../rmap/tlb_batch.ts';
import { pte_swp_uffd_any, userfaultfd_pte_wp, userfaultfd_wp } from '../userfaultfd/userfaultfd.ts';
import { folio_pte_batch } from '../util.ts';
import type { unmap_desc } from '../vma/unmap.ts';
import { mapping_rmap_tree_foreach, vm_flags_set, vma_last_pgoff, vma_start_pgoff } from '../vma/vma.ts';
import { get_locked_pte, vm_normal_page } from './fault.ts';

export const ZAP_FLAG_DROP_MARKER = 1;
export const ZAP_FLAG_UNMAP = 2;

/** Restrictions of a zap (include/linux/mm.h: struct zap_details). */
export class zap_details {
  /** The locked folio that is being unmapped everywhere, or 0. */
  single_folio = 0;
  /** Keep private copies. */
  skip_cows = false;
  /** Free pte tables that the zap empties. */
  reclaim_pt = false;
  /** ZAP_FLAG_* */
  zap_flags = 0;
}

/** State of zapping one pte table. NON-KERNEL: common arguments and out parameters of upstream's do_zap_pte_range(). */
interface zap_progress {
  readonly tlb: mmu_gather;
  readonly vma: vm_area_struct;
  readonly details: zap_details | null;
  readonly rss: Int32Array;
  force_flush: boolean;
  force_break: boolean;
  any_skipped: boolean;
}

/** Returns true if private copies are to be zapped too (mm/memory.c: should_zap_cows()). */
function should_zap_cows(m: Machine, details: zap_details | null): boolean {
  if (details === null) return true;
  WARN_ON_ONCE(m, details.skip_cows && details.reclaim_pt, 'should_zap_cows');
  return !details.skip_cows;
}

/** Returns true if this folio is to be zapped (mm/memory.c: should_zap_folio()). */
function should_zap_folio(m: Machine, details: zap_details | null, folio: number): boolean {
  return should_zap_cows(m, details) || !folio_test_anon(m, folio);
}

/** Returns true if markers are to be dropped (mm/memory.c: zap_drop_markers()). */
function zap_drop_markers(details: zap_details | null): boolean {
  return details !== null && (details.zap_flags & ZAP_FLAG_DROP_MARKER) !== 0;
}

/**
 * Installs markers where uffd write-protected ptes of a file mapping were cleared. Returns true if it did (mm/memory.c:
 * cond_install_uffd_wp_ptes()).
 */
export function cond_install_uffd_wp_ptes(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  pte: number,
  nr_ptes: number,
): boolean {
  WARN_ON_ONCE(m, pt.entry[i] !== 0, 'cond_install_uffd_wp_ptes');
  if (vma_is_anonymous(vma) || !userfaultfd_wp(vma)) return false;
  if (!(pte_present(pte) && pte_uffd(pte)) && !pte_swp_uffd_any(pte)) return false;
  const marker = softleaf_to_pte(make_pte_marker_entry(PTE_MARKER_UFFD_WP));
  for (let k = 0; k < nr_ptes; k++) set_pte_at(m, vma.vm_mm, addr + k * PAGE_SIZE, pt, i + k, marker);
  return true;
}

/**
 * Installs uffd-wp markers unless the zap drops markers. Returns true if it did (mm/memory.c:
 * zap_install_uffd_wp_if_needed()).
 */
function zap_install_uffd_wp_if_needed(
  m: Machine,
  zap: zap_progress,
  addr: number,
  pt: ptdesc,
  i: number,
  nr: number,
  pteval: number,
): boolean {
  if (zap_drop_markers(zap.details)) return false;
  return cond_install_uffd_wp_ptes(m, zap.vma, addr, pt, i, pteval, nr);
}

/** Zaps nr present ptes that map one folio (mm/memory.c: zap_present_folio_ptes()). */
function zap_present_folio_ptes(
  m: Machine,
  zap: zap_progress,
  folio: number,
  page: number,
  pt: ptdesc,
  nr: number,
  addr: number,
): void {
  const { tlb, vma } = zap;
  const mm = tlb.mm as mm_struct;
  const i = pte_index(addr);
  let ptent = pt.entry[i];
  let delay_rmap = false;
  if (!folio_test_anon(m, folio)) {
    ptent = get_and_clear_full_ptes(m, mm, addr, pt, i, nr, tlb.fullmm);
    if (pte_dirty(ptent)) {
      folio_mark_dirty(m, folio);
      if (tlb_delay_rmap(tlb)) {
        delay_rmap = true;
        zap.force_flush = true;
      }
    }
    if (pte_young(ptent) && (vma.vm_flags & (VM_SEQ_READ | VM_RAND_READ)) === 0) folio_mark_accessed(m, folio);
    zap.rss[mm_counter(m, folio)] -= nr;
  } else {
    clear_full_ptes(m, mm, addr, pt, i, nr, tlb.fullmm);
    zap.rss[MM_ANONPAGES] -= nr;
  }
  tlb_remove_tlb_entries(tlb, nr, addr);
  if (userfaultfd_pte_wp(vma, ptent)) zap.any_skipped = zap_install_uffd_wp_if_needed(m, zap, addr, pt, i, nr, ptent);
  if (!delay_rmap) {
    folio_remove_rmap_ptes(m, folio, page, nr, vma);
    BUG_ON(folio_mapcount(m, folio) < 0, 'mm/memory.c: print_bad_pte() of a folio with a negative mapcount');
  }
  if (__tlb_remove_folio_pages(m, tlb, page, nr, delay_rmap)) {
    zap.force_flush = true;
    zap.force_break = true;
  }
}

/** Zaps one present pte or a batch of one folio. Returns the number of ptes (mm/memory.c: zap_present_ptes()). */
function zap_present_ptes(
  m: Machine,
  zap: zap_progress,
  pt: ptdesc,
  i: number,
  ptent: number,
  max_nr: number,
  addr: number,
): number {
  const { tlb, vma, details } = zap;
  const page = vm_normal_page(m, vma, addr, ptent);
  if (page === 0) {
    ptep_get_and_clear_full(m, tlb.mm as mm_struct, addr, pt, i, tlb.fullmm);
    tlb_remove_tlb_entry(tlb, addr);
    if (userfaultfd_pte_wp(vma, ptent)) zap.any_skipped = zap_install_uffd_wp_if_needed(m, zap, addr, pt, i, 1, ptent);
    return 1;
  }
  const folio = page_folio(m, page);
  if (!should_zap_folio(m, details, folio)) {
    zap.any_skipped = true;
    return 1;
  }
  const nr = folio_test_large(m, folio) && max_nr !== 1 ? folio_pte_batch(m, folio, pt, i, ptent, max_nr) : 1;
  zap_present_folio_ptes(m, zap, folio, page, pt, nr, addr);
  return nr;
}

/**
 * Zaps one non-present pte. Returns 1 (mm/memory.c: zap_nonpresent_ptes()). Swap entries are Unmodelled, so there are
 * no batches.
 */
function zap_nonpresent_ptes(
  m: Machine,
  zap: zap_progress,
  pt: ptdesc,
  i: number,
  ptent: number,
  addr: number,
): number {
  const { vma, details } = zap;
  zap.any_skipped = true;
  const entry = softleaf_from_pte(ptent);
  if (softleaf_is_device_private(entry) || softleaf_is_device_exclusive(entry)) {
    const page = softleaf_to_page(m, entry);
    const folio = page_folio(m, page);
    if (!should_zap_folio(m, details, folio)) return 1;
    const fits = m.patch.zap_warns_of_file_vma ? vma_is_anonymous(vma) : folio_test_anon(m, folio);
    WARN_ON_ONCE(m, !fits, 'zap_nonpresent_ptes', 'not anonymous');
    zap.rss[mm_counter(m, folio)]--;
    if (softleaf_is_device_private(entry) || device_exclusive_is_mapping(m)) folio_remove_rmap_pte(m, folio, page, vma);
    folio_put(m, folio);
  } else if (softleaf_is_swap(entry)) {
    throw new Unmodelled('zap_nonpresent_ptes: swap entries');
  } else if (softleaf_is_migration(entry)) {
    const folio = softleaf_to_folio(m, entry);
    if (!should_zap_folio(m, details, folio)) return 1;
    zap.rss[mm_counter(m, folio)]--;
  } else if (softleaf_is_uffd_wp_marker(entry)) {
    if (!vma_is_anonymous(vma) && !zap_drop_markers(details)) return 1;
  } else if (softleaf_is_guard_marker(entry)) {
    if (!zap_drop_markers(details)) return 1;
  } else if (softleaf_is_hwpoison(entry) || softleaf_is_poison_marker(entry)) {
    if (!should_zap_cows(m, details)) return 1;
  } else {
    WARN_ON_ONCE(m, true, 'zap_nonpresent_ptes', 'unrecognized swap entry');
  }
  clear_nonpresent_ptes(m, vma.vm_mm, addr, pt, i, 1);
  zap.any_skipped = zap_install_uffd_wp_if_needed(m, zap, addr, pt, i, 1, ptent);
  return 1;
}

/**
 * Skips none ptes, then zaps one pte or one batch. Returns the number of ptes handled (mm/memory.c:
 * do_zap_pte_range()).
 */
function do_zap_pte_range(m: Machine, zap: zap_progress, pt: ptdesc, addr: number, end: number): number {
  const i = pte_index(addr);
  const max_nr = (end - addr) / PAGE_SIZE;
  let nr = 0;
  while (nr < max_nr && pt.entry[i + nr] === 0) nr++;
  if (nr === max_nr) return nr;
  const ptent = pt.entry[i + nr];
  const at = addr + nr * PAGE_SIZE;
  if (pte_present(ptent)) return nr + zap_present_ptes(m, zap, pt, i + nr, ptent, max_nr - nr, at);
  return nr + zap_nonpresent_ptes(m, zap, pt, i + nr, ptent, at);
}

/** Returns true if the zap covers a whole pte table and may free it (mm/memory.c: pte_table_reclaim_possible()). */
function pte_table_reclaim_possible(start: number, end: number, details: zap_details | null): boolean {
  return details !== null && details.reclaim_pt && end - start >= PMD_SIZE;
}

/** Detaches the empty pte table if the pmd lock is free; the pte lock is held (mm/memory.c: zap_empty_pte_table()). */
function zap_empty_pte_table(m: Machine, pmdt: ptdesc, pi: number): boolean {
  if (!spin_trylock(m, pmdt.ptl)) return false;
  pmd_clear(pmdt, pi);
  spin_unlock(m, pmdt.ptl);
  return true;
}

/** Detaches the pte table if all its ptes are none. Returns true if it did (mm/memory.c: zap_pte_table_if_empty()). */
function* zap_pte_table_if_empty(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number): Gen<boolean> {
  yield* pmd_lock(m, mm, pmdt);
  const pt = pte_offset_map(m, pmdt, pi);
  if (pt === null) {
    spin_unlock(m, pmdt.ptl);
    return false;
  }
  yield* spin_lock(m, pt.ptl);
  let empty = true;
  for (let k = 0; k < PTRS_PER_PTE; k++) {
    if (!pte_none(pt.entry[k])) {
      empty = false;
      break;
    }
  }
  if (empty) pmd_clear(pmdt, pi);
  spin_unlock(m, pt.ptl);
  spin_unlock(m, pmdt.ptl);
  return empty;
}

/**
 * Zaps a range of one pte table. Returns the address reached; less than `end` if the pmd changed and has to be
 * re-examined (mm/memory.c: zap_pte_range()).
 */
function* zap_pte_range(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmdt: ptdesc,
  addr: number,
  end: number,
  details: zap_details | null,
): Gen<number> {
  const mm = tlb.mm as mm_struct;
  const pi = pmd_index(addr);
  const rss = new Int32Array(4);
  const zap: zap_progress = { tlb, vma, details, rss, force_flush: false, force_break: false, any_skipped: false };
  let can_reclaim_pt = pte_table_reclaim_possible(addr, end, details);
  let direct_reclaim = true;
  const start = addr;
  let table = pte_offset_map(m, pmdt, pi);
  for (;;) {
    tlb_change_page_size(tlb, PAGE_SIZE);
    rss.fill(0);
    const pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
    if (pt === null) return addr;
    flush_tlb_batched_pending(m, mm);
    table = pt;
    do {
      zap.any_skipped = false;
      const nr = do_zap_pte_range(m, zap, pt, addr, end);
      if (zap.any_skipped) can_reclaim_pt = false;
      addr += nr * PAGE_SIZE;
      if (zap.force_break) {
        direct_reclaim = false;
        break;
      }
    } while (addr !== end);
    if (can_reclaim_pt && direct_reclaim && addr === end) direct_reclaim = zap_empty_pte_table(m, pmdt, pi);
    for (let k = 0; k < 4; k++) if (rss[k] !== 0) add_mm_counter(mm, k, rss[k]);
    if (zap.force_flush) {
      tlb_flush_mmu_tlbonly(m, tlb);
      tlb_flush_rmaps(m, tlb, vma);
    }
    pte_unmap_unlock(m, pt);
    if (zap.force_flush) {
      if (m.sched.explore) yield* preempt_point(m, 'tlb_flush_mmu');
      tlb_flush_mmu(m, tlb);
    }
    if (addr === end) break;
    yield* cond_resched(m);
    zap.force_flush = false;
    zap.force_break = false;
  }
  if (can_reclaim_pt && (direct_reclaim || (yield* zap_pte_table_if_empty(m, mm, pmdt, pi)))) {
    pte_free_tlb(m, tlb, table, start);
    mm_dec_nr_ptes(mm);
  }
  return addr;
}

/** Zaps a range of one pmd table (mm/memory.c: zap_pmd_range()). */
function* zap_pmd_range(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmdt: ptdesc,
  addr: number,
  end: number,
  details: zap_details | null,
): Gen<void> {
  while (addr !== end) {
    const next = pmd_addr_end(addr, end);
    const pi = pmd_index(addr);
    const pmd = pmdt.entry[pi];
    if (pmd_is_huge(pmd)) {
      if (next - addr !== HPAGE_PMD_SIZE) {
        yield* __split_huge_pmd(m, vma, pmdt, pi, addr, false);
      } else if (yield* zap_huge_pmd(m, tlb, vma, pmdt, pi, addr)) {
        addr = next;
        continue;
      }
    } else if (
      details !== null &&
      details.single_folio !== 0 &&
      folio_test_pmd_mappable(m, details.single_folio) &&
      next - addr === HPAGE_PMD_SIZE &&
      pmd_none(pmd)
    ) {
      // Takes the pmd lock to wait for a zap_huge_pmd() that has cleared the pmd but not yet removed the folio's rmap.
      yield* pmd_lock(m, tlb.mm as mm_struct, pmdt);
      spin_unlock(m, pmdt.ptl);
    }
    if (pmd_none(pmdt.entry[pi])) {
      addr = next;
      continue;
    }
    addr = yield* zap_pte_range(m, tlb, vma, pmdt, addr, next, details);
    yield* cond_resched(m);
  }
}

/** Zaps a range of one vma (mm/memory.c: __zap_vma_range()). */
function* __zap_vma_range(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  start: number,
  end: number,
  details: zap_details | null,
): Gen<void> {
  WARN_ON_ONCE(m, start >= end || start < vma.vm_start || end > vma.vm_end, '__zap_vma_range');
  if (is_vm_hugetlb_page(vma)) {
    if (vma.vm_file !== null)
      yield* __unmap_hugepage_range(m, tlb, vma, start, end, 0, details === null ? 0 : details.zap_flags);
    return;
  }
  tlb_start_vma(m, tlb, vma);
  const pgd = vma.vm_mm.pgd;
  for (let addr = start; addr !== end; ) {
    const pudt = pgd.child?.[pgd_index(addr)] ?? null;
    if (pudt === null) {
      addr = Math.min(ALIGN_DOWN(addr, PGDIR_SIZE) + PGDIR_SIZE, end);
      continue;
    }
    const next = pud_addr_end(addr, end);
    const pmdt = pudt.child?.[pud_index(addr)] ?? null;
    if (pmdt !== null) yield* zap_pmd_range(m, tlb, vma, pmdt, addr, next, details);
    yield* cond_resched(m);
    addr = next;
  }
  tlb_end_vma(m, tlb, vma);
}

/**
 * Zaps a vma without sleeping, for the OOM reaper. Returns 0, or -EBUSY if a notifier would sleep (mm/memory.c:
 * zap_vma_for_reaping()).
 */
export function* zap_vma_for_reaping(m: Machine, vma: vm_area_struct): Gen<number> {
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, vma.vm_mm, vma.vm_start, vma.vm_end);
  if ((yield* mmu_notifier_invalidate_range_start_nonblock(m, range)) !== 0) return -EBUSY;
  const tlb = new mmu_gather();
  tlb_gather_mmu(m, tlb, vma.vm_mm);
  yield* __zap_vma_range(m, tlb, vma, vma.vm_start, vma.vm_end, null);
  yield* mmu_notifier_invalidate_range_end(m, range);
  tlb_finish_mmu(m, tlb);
  return 0;
}

/** Zaps the vmas, markers included (mm/memory.c: unmap_vmas()). */
export function* unmap_vmas(m: Machine, tlb: mmu_gather, unmap: unmap_desc): Gen<void> {
  const details = new zap_details();
  details.zap_flags = ZAP_FLAG_DROP_MARKER | ZAP_FLAG_UNMAP;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_UNMAP, 0, tlb.mm as mm_struct, unmap.vma_start, unmap.vma_end);
  yield* mmu_notifier_invalidate_range_start(m, range);
  for (const vma of unmap.vmas) {
    const r = { start: Math.max(vma.vm_start, unmap.vma_start), end: Math.min(vma.vm_end, unmap.vma_end) };
    if (is_vm_hugetlb_page(vma)) yield* hugetlb_zap_begin(m, vma, r);
    yield* __zap_vma_range(m, tlb, vma, r.start, r.end, details);
    if (is_vm_hugetlb_page(vma)) hugetlb_zap_end(m, vma, details.zap_flags);
  }
  yield* mmu_notifier_invalidate_range_end(m, range);
}

/**
 * Zaps part of a vma within the caller's mmu_gather. With null details everything but markers goes (mm/memory.c:
 * zap_vma_range_batched()).
 */
export function* zap_vma_range_batched(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  address: number,
  size: number,
  details: zap_details | null,
): Gen<void> {
  const end = address + size;
  WARN_ON_ONCE(m, tlb.mm !== vma.vm_mm, 'zap_vma_range_batched');
  if (size === 0) return;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, vma.vm_mm, address, end);
  const hugetlb = is_vm_hugetlb_page(vma);
  if (hugetlb) yield* hugetlb_zap_begin(m, vma, range);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* __zap_vma_range(m, tlb, vma, address, end, details);
  yield* mmu_notifier_invalidate_range_end(m, range);
  if (hugetlb) {
    if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
    tlb_finish_mmu(m, tlb);
    hugetlb_zap_end(m, vma, details === null ? 0 : details.zap_flags);
    tlb_gather_mmu(m, tlb, vma.vm_mm);
  }
}

/** Zaps part of a vma (mm/memory.c: zap_vma_range()). */
export function* zap_vma_range(m: Machine, vma: vm_area_struct, address: number, size: number): Gen<void> {
  const tlb = new mmu_gather();
  tlb_gather_mmu(m, tlb, vma.vm_mm);
  yield* zap_vma_range_batched(m, tlb, vma, address, size, null);
  if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
  tlb_finish_mmu(m, tlb);
}

/** Zaps part of a VM_PFNMAP or VM_MIXEDMAP vma; does nothing for other vmas (mm/memory.c: zap_special_vma_range()). */
export function* zap_special_vma_range(m: Machine, vma: vm_area_struct, address: number, size: number): Gen<void> {
  if (address < vma.vm_start || address + size > vma.vm_end || (vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP)) === 0) return;
  yield* zap_vma_range(m, vma, address, size);
}

/** Zaps a range of file offsets in all vmas of the mapping (mm/memory.c: unmap_mapping_range_tree()). */
function* unmap_mapping_range_tree(
  m: Machine,
  mapping: address_space,
  first_index: number,
  last_index: number,
  details: zap_details,
): Gen<void> {
  for (const vma of mapping_rmap_tree_foreach(mapping, first_index, last_index)) {
    const start_idx = Math.max(first_index, vma_start_pgoff(vma));
    const end_idx = Math.min(last_index, vma_last_pgoff(vma)) + 1;
    const start = vma.vm_start + (start_idx - vma_start_pgoff(vma)) * PAGE_SIZE;
    const tlb = new mmu_gather();
    tlb_gather_mmu(m, tlb, vma.vm_mm);
    yield* zap_vma_range_batched(m, tlb, vma, start, (end_idx - start_idx) * PAGE_SIZE, details);
    if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
    tlb_finish_mmu(m, tlb);
  }
}

/** Unmaps a locked page cache folio from all vmas; private copies stay (mm/memory.c: unmap_mapping_folio()). */
export function* unmap_mapping_folio(m: Machine, folio: number): Gen<void> {
  BUG_ON(!folio_test_locked(m, folio), 'mm/memory.c: unmap_mapping_folio() of an unlocked folio');
  const mapping = m.mappings.get(m.page.mapping[folio] >>> 2) as address_space;
  const first_index = m.page.index[folio];
  const details = new zap_details();
  details.skip_cows = true;
  details.single_folio = folio;
  details.zap_flags = ZAP_FLAG_DROP_MARKER;
  yield* down_read(m, mapping.i_mmap_rwsem);
  if (mapping.i_mmap.length > 0)
    yield* unmap_mapping_range_tree(m, mapping, first_index, first_index + folio_nr_pages(m, folio) - 1, details);
  up_read(m, mapping.i_mmap_rwsem);
}

/**
 * Unmaps nr pages of a file from index `start` on, all following pages if nr is 0; private copies too if `even_cows`
 * (mm/memory.c: unmap_mapping_pages()).
 */
export function* unmap_mapping_pages(
  m: Machine,
  mapping: address_space,
  start: number,
  nr: number,
  even_cows: boolean,
): Gen<void> {
  const details = new zap_details();
  details.skip_cows = !even_cows;
  yield* down_read(m, mapping.i_mmap_rwsem);
  if (mapping.i_mmap.length > 0)
    yield* unmap_mapping_range_tree(m, mapping, start, nr === 0 ? Infinity : start + nr - 1, details);
  up_read(m, mapping.i_mmap_rwsem);
}

/**
 * Unmaps the bytes [holebegin, holebegin + holelen) of a file, all following bytes if holelen is 0 (mm/memory.c:
 * unmap_mapping_range()).
 */
export function* unmap_mapping_range(
  m: Machine,
  mapping: address_space,
  holebegin: number,
  holelen: number,
  even_cows: boolean,
): Gen<void> {
  yield* unmap_mapping_pages(
    m,
    mapping,
    Math.floor(holebegin / PAGE_SIZE),
    Math.floor((holelen + PAGE_SIZE - 1) / PAGE_SIZE),
    even_cows,
  );
}

/** Returns true if the zero page may be mapped in a VM_MIXEDMAP vma (mm/memory.c: vm_mixed_zeropage_allowed()). */
function vm_mixed_zeropage_allowed(vma: vm_area_struct): boolean {
  if (is_cow_mapping(vma.vm_flags)) return true;
  return (vma.vm_flags & (VM_WRITE | VM_MAYWRITE)) === 0;
}

/** Checks that a driver may map this page. Returns 0 or -EINVAL (mm/memory.c: validate_page_before_insert()). */
function validate_page_before_insert(m: Machine, vma: vm_area_struct, page: number): number {
  const folio = page_folio(m, page);
  if (folio_ref_count(m, folio) === 0) return -EINVAL;
  if (folio === m.zero_page) return vm_mixed_zeropage_allowed(vma) ? 0 : -EINVAL;
  if (folio_test_anon(m, folio) || m.page.page_type[page] !== 0) return -EINVAL;
  return 0;
}

/** Maps a driver's page at an empty pte. Returns 0 or -EBUSY (mm/memory.c: insert_page_into_pte_locked()). */
function insert_page_into_pte_locked(
  m: Machine,
  vma: vm_area_struct,
  pt: ptdesc,
  i: number,
  addr: number,
  page: number,
  prot: number,
): number {
  if (!pte_none(pt.entry[i])) return -EBUSY;
  const folio = page_folio(m, page);
  let pteval = mk_pte(m, page, prot);
  if (folio === m.zero_page) {
    pteval = pte_mkspecial(pteval);
  } else {
    folio_get(m, folio);
    add_mm_counter(vma.vm_mm, mm_counter_file(m, folio), 1);
    folio_add_file_rmap_pte(m, folio, page, vma);
  }
  set_pte_at(m, vma.vm_mm, addr, pt, i, pteval);
  return 0;
}

/**
 * Maps a driver's page at an address of its vma. Returns 0, -EFAULT, -EINVAL, -EBUSY or -ENOMEM (mm/memory.c:
 * vm_insert_page()).
 */
export function* vm_insert_page(m: Machine, vma: vm_area_struct, addr: number, page: number): Gen<number> {
  if (addr < vma.vm_start || addr >= vma.vm_end) return -EFAULT;
  if ((vma.vm_flags & VM_MIXEDMAP) === 0) {
    BUG_ON(mmap_read_trylock(m, vma.vm_mm), 'mm/memory.c: vm_insert_page() without the mmap lock');
    BUG_ON((vma.vm_flags & VM_PFNMAP) !== 0, 'mm/memory.c: vm_insert_page() of a VM_PFNMAP vma');
    vm_flags_set(vma, VM_MIXEDMAP);
  }
  const bad = validate_page_before_insert(m, vma, page);
  if (bad) return bad;
  const pt = yield* get_locked_pte(m, vma.vm_mm, addr);
  if (pt === null) return -ENOMEM;
  const ret = insert_page_into_pte_locked(m, vma, pt, pte_index(addr), addr, page, vma.vm_page_prot);
  pte_unmap_unlock(m, pt);
  return ret;
}
