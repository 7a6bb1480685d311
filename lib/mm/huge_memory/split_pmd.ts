// SPDX-License-Identifier: GPL-2.0-only

import { pmd_lock, pmd_populate } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  HPAGE_PMD_NR,
  HPAGE_PMD_SIZE,
  pfn_pte,
  pmd_dirty,
  pmd_index,
  pmd_trans_huge,
  pmd_write,
  pmd_young,
  type ptdesc,
  pte_mkdirty,
  pte_mkold,
  pte_mksoft_dirty,
  pte_mkspecial,
  pte_mkuffd,
  pte_mkwrite,
  pte_soft_dirty,
  pte_uffd,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { pmd_page } from '../../arch/x86/mm/pgtable/pmd.ts';
import { set_pte_at, set_ptes } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { folio_put } from '../folio.ts';
import {
  make_migration_entry_dirty,
  make_migration_entry_young,
  make_readable_device_private_entry_from_page,
  make_readable_exclusive_migration_entry_from_page,
  make_readable_migration_entry_from_page,
  make_writable_device_private_entry_from_page,
  make_writable_migration_entry_from_page,
  pmd_is_device_private_entry,
  pmd_is_migration_entry,
  pmd_is_valid_softleaf,
  softleaf_from_pmd,
  softleaf_is_device_private_write,
  softleaf_is_migration_dirty,
  softleaf_is_migration_read_exclusive,
  softleaf_is_migration_write,
  softleaf_is_migration_young,
  softleaf_to_folio,
  softleaf_to_page,
  softleaf_to_pte,
} from '../leafops.ts';
import {
  add_mm_counter,
  mm_counter_file,
  type mm_struct,
  type vm_area_struct,
  VM_MIXEDMAP,
  VM_PFNMAP,
  vma_is_anonymous,
} from '../mm_types.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import { folio_set_dirty, folio_set_referenced, folio_test_referenced, PageAnonExclusive } from '../page-flags.ts';
import { folio_ref_add, folio_ref_count, folio_test_anon, page_folio, page_to_pfn, PageAnon } from '../page.ts';
import { pgtable_trans_huge_withdraw, pmdp_huge_clear_flush, pmdp_invalidate } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import {
  folio_add_anon_rmap_ptes,
  folio_remove_rmap_pmd,
  folio_try_share_anon_rmap_pmd,
  mm_find_pmd,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
} from '../rmap/rmap.ts';
import { count_vm_event, is_huge_zero_pmd, pmd_is_huge } from './sysfs.ts';

/** Replaces a pmd of the huge zero folio by ptes of the zero page (mm/huge_memory.c: __split_huge_zero_page_pmd()). */
function __split_huge_zero_page_pmd(m: Machine, vma: vm_area_struct, haddr: number, pmdt: ptdesc, pi: number): void {
  const mm = vma.vm_mm;
  const old_pmd = pmdp_huge_clear_flush(m, vma, haddr, pmdt, pi);
  const pgtable = pgtable_trans_huge_withdraw(m, mm, pmdt, pi);
  let entry = pte_mkspecial(pfn_pte(page_to_pfn(m, m.zero_page), vma.vm_page_prot));
  if (pte_uffd(old_pmd)) entry = pte_mkuffd(entry);
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    BUG_ON(pgtable.entry[i] !== 0, 'mm/huge_memory.c: __split_huge_zero_page_pmd()');
    set_pte_at(m, mm, haddr + i * PAGE_SIZE, pgtable, i, entry);
  }
  pmd_populate(m, mm, pmdt, pi, pgtable);
}

/**
 * Unmaps a pmd of a file. No ptes are installed, since faults map the folio again from the page cache. NON-KERNEL: the
 * first branch of upstream's __split_huge_pmd_locked().
 */
function split_file_pmd(m: Machine, vma: vm_area_struct, haddr: number, pmdt: ptdesc, pi: number): void {
  const mm = vma.vm_mm;
  const old_pmd = pmdp_huge_clear_flush(m, vma, haddr, pmdt, pi);
  if ((vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP)) !== 0) return;
  if (pmd_is_migration_entry(old_pmd)) {
    add_mm_counter(mm, mm_counter_file(m, softleaf_to_folio(m, softleaf_from_pmd(old_pmd))), -HPAGE_PMD_NR);
    return;
  }
  if (is_huge_zero_pmd(m, old_pmd)) return;
  const page = pmd_page(m, old_pmd);
  const folio = page_folio(m, page);
  if (pmd_dirty(old_pmd)) folio_set_dirty(m, folio);
  if (!folio_test_referenced(m, folio) && pmd_young(old_pmd)) folio_set_referenced(m, folio);
  folio_remove_rmap_pmd(m, folio, page, vma);
  add_mm_counter(mm, mm_counter_file(m, folio), -HPAGE_PMD_NR);
  folio_put(m, folio);
}

/** Fills an empty pte table. NON-KERNEL: a loop that upstream's __split_huge_pmd_locked() repeats. */
function fill_leaves(m: Machine, mm: mm_struct, haddr: number, pgtable: ptdesc, pte: (i: number) => number): void {
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    WARN_ON(m, pgtable.entry[i] !== 0, '__split_huge_pmd_locked');
    set_pte_at(m, mm, haddr + i * PAGE_SIZE, pgtable, i, pte(i));
  }
}

/**
 * Splits a huge pmd, present or not, into ptes under the pmd lock; `freeze` makes them migration entries
 * (mm/huge_memory.c: __split_huge_pmd_locked()).
 */
function __split_huge_pmd_locked(
  m: Machine,
  vma: vm_area_struct,
  pmdt: ptdesc,
  pi: number,
  haddr: number,
  freeze: boolean,
): void {
  const mm = vma.vm_mm;
  let old_pmd = pmdt.entry[pi];
  BUG_ON(haddr % HPAGE_PMD_SIZE !== 0, 'mm/huge_memory.c: __split_huge_pmd_locked()');
  BUG_ON(vma.vm_start > haddr, 'mm/huge_memory.c: __split_huge_pmd_locked()');
  BUG_ON(vma.vm_end < haddr + HPAGE_PMD_SIZE, 'mm/huge_memory.c: __split_huge_pmd_locked()');
  WARN_ON_ONCE(m, !pmd_is_valid_softleaf(old_pmd) && !pmd_trans_huge(old_pmd), '__split_huge_pmd_locked');
  count_vm_event(m, 'THP_SPLIT_PMD');

  if (!vma_is_anonymous(vma)) return split_file_pmd(m, vma, haddr, pmdt, pi);
  if (is_huge_zero_pmd(m, old_pmd)) return __split_huge_zero_page_pmd(m, vma, haddr, pmdt, pi);

  let page: number;
  let folio: number;
  let write: boolean;
  let young = false;
  let dirty = false;
  let anon_exclusive = false;
  let soft_dirty: boolean;
  let uffd_wp: boolean;
  const migration = pmd_is_migration_entry(old_pmd);
  const device_private = pmd_is_device_private_entry(old_pmd);
  if (migration) {
    const entry = softleaf_from_pmd(old_pmd);
    page = softleaf_to_page(m, entry);
    folio = page_folio(m, page);
    soft_dirty = pte_soft_dirty(old_pmd);
    uffd_wp = pte_uffd(old_pmd);
    write = softleaf_is_migration_write(entry);
    if (PageAnon(m, page)) anon_exclusive = softleaf_is_migration_read_exclusive(entry);
    young = softleaf_is_migration_young(m, entry);
    dirty = softleaf_is_migration_dirty(m, entry);
  } else {
    if (device_private) {
      const entry = softleaf_from_pmd(old_pmd);
      page = softleaf_to_page(m, entry);
      folio = page_folio(m, page);
      soft_dirty = pte_soft_dirty(old_pmd);
      uffd_wp = pte_uffd(old_pmd);
      write = softleaf_is_device_private_write(entry);
    } else {
      old_pmd = pmdp_invalidate(m, vma, haddr, pmdt, pi);
      page = pmd_page(m, old_pmd);
      folio = page_folio(m, page);
      if (pmd_dirty(old_pmd)) {
        dirty = true;
        folio_set_dirty(m, folio);
      }
      write = pmd_write(old_pmd);
      young = pmd_young(old_pmd);
      soft_dirty = pte_soft_dirty(old_pmd);
      uffd_wp = pte_uffd(old_pmd);
      WARN_ON(m, folio_ref_count(m, folio) === 0, '__split_huge_pmd_locked', 'folio without references');
      WARN_ON(m, !folio_test_anon(m, folio), '__split_huge_pmd_locked', 'folio is not anonymous');
    }
    // With `freeze` the ptes become migration entries, so PageAnonExclusive has to be cleared first. That fails for a
    // pinned folio: then only the pmd is split, and try_to_migrate_one() fails on its ptes.
    anon_exclusive = PageAnonExclusive(m, page);
    if (freeze && anon_exclusive && folio_try_share_anon_rmap_pmd(m, folio, page) !== 0) freeze = false;
    if (!freeze) {
      folio_ref_add(m, folio, HPAGE_PMD_NR - 1);
      folio_add_anon_rmap_ptes(m, folio, page, HPAGE_PMD_NR, vma, haddr, anon_exclusive ? RMAP_EXCLUSIVE : RMAP_NONE);
    }
  }

  const pgtable = pgtable_trans_huge_withdraw(m, mm, pmdt, pi);
  if (freeze || migration) {
    const make = write
      ? make_writable_migration_entry_from_page
      : anon_exclusive
        ? make_readable_exclusive_migration_entry_from_page
        : make_readable_migration_entry_from_page;
    fill_leaves(m, mm, haddr, pgtable, (i) => {
      let swp_entry = make(m, page + i, 0);
      if (young) swp_entry = make_migration_entry_young(swp_entry);
      if (dirty) swp_entry = make_migration_entry_dirty(swp_entry);
      let entry = softleaf_to_pte(swp_entry);
      if (soft_dirty) entry = pte_mksoft_dirty(entry);
      if (uffd_wp) entry = pte_mkuffd(entry);
      return entry;
    });
  } else if (device_private) {
    const make = write ? make_writable_device_private_entry_from_page : make_readable_device_private_entry_from_page;
    fill_leaves(m, mm, haddr, pgtable, (i) => {
      let entry = softleaf_to_pte(make(m, page + i));
      if (soft_dirty) entry = pte_mksoft_dirty(entry);
      if (uffd_wp) entry = pte_mkuffd(entry);
      return entry;
    });
  } else {
    let entry = pfn_pte(page_to_pfn(m, page), vma.vm_page_prot);
    if (write) entry = pte_mkwrite(entry);
    if (!young) entry = pte_mkold(entry);
    if (dirty) entry = pte_mkdirty(entry);
    if (soft_dirty) entry = pte_mksoft_dirty(entry);
    if (uffd_wp) entry = pte_mkuffd(entry);
    for (let i = 0; i < HPAGE_PMD_NR; i++) WARN_ON(m, pgtable.entry[i] !== 0, '__split_huge_pmd_locked');
    set_ptes(m, mm, haddr, pgtable, 0, entry, HPAGE_PMD_NR);
  }

  if (!migration) folio_remove_rmap_pmd(m, folio, page, vma);
  if (freeze) folio_put(m, folio);
  pmd_populate(m, mm, pmdt, pi, pgtable);
}

/**
 * Splits the pmd into ptes if it is huge, under the pmd lock; `freeze` makes them migration entries (mm/huge_memory.c:
 * split_huge_pmd_locked()).
 */
export function split_huge_pmd_locked(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pmdt: ptdesc,
  pi: number,
  freeze: boolean,
): void {
  WARN_ON_ONCE(m, address % HPAGE_PMD_SIZE !== 0, 'split_huge_pmd_locked');
  const pmd = pmdt.entry[pi];
  if (pmd_trans_huge(pmd) || pmd_is_valid_softleaf(pmd)) __split_huge_pmd_locked(m, vma, pmdt, pi, address, freeze);
}

/** Splits the huge pmd around the address after notifying mirrors (mm/huge_memory.c: __split_huge_pmd()). */
export function* __split_huge_pmd(
  m: Machine,
  vma: vm_area_struct,
  pmdt: ptdesc,
  pi: number,
  address: number,
  freeze: boolean,
): Gen<void> {
  const haddr = ALIGN_DOWN(address, HPAGE_PMD_SIZE);
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, vma.vm_mm, haddr, haddr + HPAGE_PMD_SIZE);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* pmd_lock(m, vma.vm_mm, pmdt);
  split_huge_pmd_locked(m, vma, haddr, pmdt, pi, freeze);
  spin_unlock(m, pmdt.ptl);
  yield* mmu_notifier_invalidate_range_end(m, range);
}

/** Splits the pmd if it is huge (include/linux/huge_mm.h: split_huge_pmd()). */
export function* split_huge_pmd(m: Machine, vma: vm_area_struct, pmdt: ptdesc, pi: number, address: number): Gen<void> {
  if (pmd_is_huge(pmdt.entry[pi])) yield* __split_huge_pmd(m, vma, pmdt, pi, address, false);
}

/** Splits the huge pmd at the address, if there is one (mm/huge_memory.c: split_huge_pmd_address()). */
export function* split_huge_pmd_address(m: Machine, vma: vm_area_struct, address: number, freeze: boolean): Gen<void> {
  const pmdt = mm_find_pmd(m, vma.vm_mm, address);
  if (pmdt === null) return;
  yield* __split_huge_pmd(m, vma, pmdt, pmd_index(address), address, freeze);
}
