// SPDX-License-Identifier: GPL-2.0-only

import { leaf_pte_pfn, leaf_pte_soft_dirty, leaf_pte_uffd } from '../../arch/x86/mm/leaf_as_pte.ts';
import {
  HPAGE_PMD_NR,
  pmd_pfn,
  pmd_present,
  type ptdesc,
  pte_dirty,
  pte_mksoft_dirty,
  pte_mkuffd,
  pte_pfn,
  pte_present,
  pte_soft_dirty,
  pte_uffd,
  pte_write,
  pte_young,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { pte_clear, set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import { ptep_get_and_clear } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import type { address_space } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_read, down_read_trylock, up_read } from '../../kernel/locking/rwsem.ts';
import { BUG_ON, Oops, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_put } from '../folio.ts';
import { set_pmd_migration_entry } from '../huge_memory/migration.ts';
import { split_huge_pmd_locked } from '../huge_memory/split_pmd.ts';
import {
  make_migration_entry_dirty,
  make_migration_entry_young,
  make_readable_exclusive_migration_entry_from_page,
  make_readable_migration_entry_from_page,
  make_writable_migration_entry_from_page,
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_is_device_exclusive,
  softleaf_is_device_private_write,
  softleaf_to_page,
  softleaf_to_pfn,
} from '../leafops.ts';
import { folio_is_device_coherent, folio_is_device_private } from '../memremap.ts';
import {
  add_mm_counter,
  type anon_vma,
  type anon_vma_chain,
  MM_ANONPAGES,
  mm_counter_file,
  type vm_area_struct,
  VM_LOCKED,
} from '../mm_types.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import {
  folio_set_swapbacked,
  folio_test_dirty,
  folio_test_locked,
  folio_test_swapbacked,
  folio_test_swapcache,
  PageAnonExclusive,
  PageHWPoison,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  folio_is_zone_device,
  FOLIO_MAPPING_ANON,
  FOLIO_MAPPING_FLAGS,
  folio_nr_pages,
  folio_page,
  folio_test_anon,
  folio_test_hugetlb,
  pfn_to_page,
} from '../page.ts';
import {
  DEFINE_FOLIO_VMA_WALK,
  page_vma_mapped_walk,
  page_vma_mapped_walk_done,
  page_vma_mapped_walk_last,
  page_vma_mapped_walk_restart,
  PVMW_SYNC,
  vma_address_end,
} from '../page_vma_mapped.ts';
import { ptep_clear_flush } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_anon_vma } from '../util.ts';
import { mapping_rmap_tree_foreach } from '../vma/vma.ts';
import { anon_vma_lock_read, anon_vma_trylock_read, anon_vma_unlock_read, put_anon_vma } from './anon_vma.ts';
import { device_exclusive_is_mapping } from './device_exclusive.ts';
import {
  folio_mapcount,
  folio_mapped,
  folio_pgoff,
  folio_remove_rmap_pte,
  folio_try_share_anon_rmap_pte,
  vma_anon_address,
  vma_filebacked_address,
} from './rmap.ts';
import { set_tlb_ubc_flush_pending, should_defer_flush, TTU_BATCH_FLUSH } from './tlb_batch.ts';

/** Base of the struct pages, 64 bytes each (arch/x86/include/asm/pgtable_64_types.h). */
const VMEMMAP_START = 0xffffea0000000000n;

// enum ttu_flags (include/linux/rmap.h)
export const TTU_USE_SHARED_ZEROPAGE = 0x2;
export const TTU_SPLIT_HUGE_PMD = 0x4;
const TTU_IGNORE_MLOCK = 0x8;
export const TTU_SYNC = 0x10;
export const TTU_HWPOISON = 0x20;
export const TTU_RMAP_LOCKED = 0x80;

/** How rmap_walk() visits the vmas that may map a folio (include/linux/rmap.h: struct rmap_walk_control). */
export interface rmap_walk_control {
  /** Passed to rmap_one. A number, so that walks of single pages allocate no closures. */
  arg?: number;
  /** Returns false to stop the walk. */
  rmap_one: (m: Machine, folio: number, vma: vm_area_struct, addr: number, arg: number) => Gen<boolean>;
  /** Returns true to stop the walk. */
  done?: (m: Machine, folio: number) => boolean;
  anon_lock?: (m: Machine, folio: number, rwc: rmap_walk_control) => Gen<anon_vma | null>;
  invalid_vma?: (vma: vm_area_struct) => boolean;
  try_lock?: boolean;
  contended?: boolean;
}

/**
 * Locks the anon_vma of a mapped folio for reading. Returns null if the folio is not mapped or, with rwc.try_lock, if
 * the lock is contended (mm/rmap.c: folio_lock_anon_vma_read()).
 */
export function* folio_lock_anon_vma_read(
  m: Machine,
  folio: number,
  rwc: rmap_walk_control | null,
): Gen<anon_vma | null> {
  if (!folio_test_locked(m, folio)) WARN_ON(m, true, 'folio_lock_anon_vma_read');
  const mapping = m.page.mapping[folio];
  if ((mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON || !folio_mapped(m, folio)) return null;
  const av = folio_anon_vma(m, folio);
  if (av === null) return null;
  if (anon_vma_trylock_read(m, av)) return av;
  if (rwc !== null && rwc.try_lock === true) {
    rwc.contended = true;
    return null;
  }
  if (av.refcount === 0) return null;
  av.refcount++;
  if (!folio_mapped(m, folio)) {
    yield* put_anon_vma(m, av);
    return null;
  }
  yield* anon_vma_lock_read(m, av);
  if (av.refcount === 1) {
    // The last other user is gone, so the anon_vma cannot map the folio any more.
    anon_vma_unlock_read(m, av);
    yield* put_anon_vma(m, av);
    return null;
  }
  av.refcount--;
  return av;
}

/**
 * Locks the anon_vma for an rmap walk. Returns null if there is none or the lock is contended (mm/rmap.c:
 * rmap_walk_anon_lock()).
 */
function* rmap_walk_anon_lock(m: Machine, folio: number, rwc: rmap_walk_control): Gen<anon_vma | null> {
  if (rwc.anon_lock !== undefined) return yield* rwc.anon_lock(m, folio, rwc);
  const av = folio_anon_vma(m, folio);
  if (av === null || anon_vma_trylock_read(m, av)) return av;
  if (rwc.try_lock === true) {
    rwc.contended = true;
    return null;
  }
  yield* anon_vma_lock_read(m, av);
  return av;
}

/**
 * Returns the chains whose vmas overlap [start, last], ordered by start, equal ones by insertion. NON-KERNEL:
 * upstream's anon_rmap_tree_foreach() walks an interval tree.
 */
function chains_of(av: anon_vma, start: number, last: number): readonly anon_vma_chain[] {
  if (av.rb_root.length === 1) {
    const v = av.rb_root[0].vma;
    if (v.vm_anon_pgoff <= start && v.vm_anon_pgoff + (v.vm_end - v.vm_start) / PAGE_SIZE > last) return av.rb_root;
  }
  const hits = av.rb_root.filter((avc) => {
    const v = avc.vma;
    return v.vm_anon_pgoff <= last && v.vm_anon_pgoff + (v.vm_end - v.vm_start) / PAGE_SIZE - 1 >= start;
  });
  return hits.length > 1 ? hits.sort((a, b) => a.vma.vm_anon_pgoff - b.vma.vm_anon_pgoff) : hits;
}

/** Visits the vmas that may map an anonymous folio (mm/rmap.c: rmap_walk_anon()). */
function* rmap_walk_anon(m: Machine, folio: number, rwc: rmap_walk_control, locked: boolean): Gen<void> {
  if (!folio_test_locked(m, folio)) WARN_ON(m, true, 'rmap_walk_anon');
  let av = folio_anon_vma(m, folio);
  if (!locked && (rwc.anon_lock !== undefined || av === null || !anon_vma_trylock_read(m, av)))
    av = yield* rmap_walk_anon_lock(m, folio, rwc);
  if (av === null) {
    BUG_ON(locked, 'mm/rmap.c: rmap_walk_anon() of a folio without anon_vma');
    return;
  }
  const pgoff_start = folio_pgoff(m, folio);
  const nr = folio_nr_pages(m, folio);
  for (const avc of chains_of(av, pgoff_start, pgoff_start + nr - 1)) {
    const vma = avc.vma;
    const address = vma_anon_address(vma, pgoff_start, nr);
    if (m.sched.explore) yield* cond_resched(m);
    if (rwc.invalid_vma !== undefined && rwc.invalid_vma(vma)) continue;
    if (!(yield* rwc.rmap_one(m, folio, vma, address, rwc.arg ?? 0))) break;
    if (rwc.done !== undefined && rwc.done(m, folio)) break;
  }
  if (!locked) anon_vma_unlock_read(m, av);
}

/** Visits the vmas that may map a file folio (mm/rmap.c: rmap_walk_file()). */
function* rmap_walk_file(m: Machine, folio: number, rwc: rmap_walk_control, locked: boolean): Gen<void> {
  BUG_ON(!folio_test_locked(m, folio), 'mm/rmap.c: rmap_walk_file() of an unlocked folio');
  const id = m.page.mapping[folio];
  if (id === 0) return;
  const mapping = m.mappings.get(id >> 2) as address_space;
  if (!locked && !down_read_trylock(m, mapping.i_mmap_rwsem)) {
    if (rwc.try_lock === true) {
      rwc.contended = true;
      return;
    }
    yield* down_read(m, mapping.i_mmap_rwsem);
  }
  const pgoff_start = folio_pgoff(m, folio);
  const nr = folio_nr_pages(m, folio);
  for (const vma of mapping_rmap_tree_foreach(mapping, pgoff_start, pgoff_start + nr - 1)) {
    const address = vma_filebacked_address(vma, pgoff_start, nr);
    if (m.sched.explore) yield* cond_resched(m);
    if (rwc.invalid_vma !== undefined && rwc.invalid_vma(vma)) continue;
    if (!(yield* rwc.rmap_one(m, folio, vma, address, rwc.arg ?? 0))) break;
    if (rwc.done !== undefined && rwc.done(m, folio)) break;
  }
  if (!locked) up_read(m, mapping.i_mmap_rwsem);
}

/**
 * Calls rwc.rmap_one for every vma that may map the locked folio (mm/rmap.c: rmap_walk()). Leaves out KSM: not
 * modelled.
 */
export function rmap_walk(m: Machine, folio: number, rwc: rmap_walk_control): Gen<void> {
  return folio_test_anon(m, folio) ? rmap_walk_anon(m, folio, rwc, false) : rmap_walk_file(m, folio, rwc, false);
}

/** Calls rmap_walk() with the rmap lock held by the caller (mm/rmap.c: rmap_walk_locked()). */
export function rmap_walk_locked(m: Machine, folio: number, rwc: rmap_walk_control): Gen<void> {
  return folio_test_anon(m, folio) ? rmap_walk_anon(m, folio, rwc, true) : rmap_walk_file(m, folio, rwc, true);
}

/** Returns true if the folio is not mapped (mm/rmap.c: folio_not_mapped()). */
function folio_not_mapped(m: Machine, folio: number): boolean {
  return !folio_mapped(m, folio);
}

/**
 * Builds the migration entry that replaces a mapping of `page`, whose pte, present or not, was `pteval`. Keeps the
 * write, young, dirty and software bits. NON-KERNEL: common lines of upstream's try_to_migrate_one() and
 * migrate_vma_collect_pmd().
 */
export function migration_pte(
  m: Machine,
  page: number,
  pteval: number,
  writable: boolean,
  anon_exclusive: boolean,
): number {
  let entry = writable
    ? make_writable_migration_entry_from_page(m, page, 0)
    : anon_exclusive
      ? make_readable_exclusive_migration_entry_from_page(m, page, 0)
      : make_readable_migration_entry_from_page(m, page, 0);
  if (pte_present(pteval)) {
    if (pte_young(pteval)) entry = make_migration_entry_young(entry);
    if (pte_dirty(pteval)) entry = make_migration_entry_dirty(entry);
  }
  const leaf = !pte_present(pteval) && m.patch.leaf_bits_as_present;
  if (leaf ? leaf_pte_soft_dirty(pteval) : pte_soft_dirty(pteval)) entry = pte_mksoft_dirty(entry);
  if (leaf ? leaf_pte_uffd(pteval) : pte_uffd(pteval)) entry = pte_mkuffd(entry);
  return entry;
}

/**
 * Throws for a device-exclusive entry that counts as no mapping: upstream then decoded it as a present pte, so the page
 * is arbitrary. NON-KERNEL.
 */
function check_counted(m: Machine, pteval: number): void {
  if (device_exclusive_is_mapping(m) || !softleaf_is_device_exclusive(softleaf_from_pte(pteval))) return;
  throw new Unmodelled(
    'try_to_migrate_one, try_to_unmap_one: a page computed from a device-exclusive entry that was taken for a present one',
  );
}

/**
 * Oopses on the struct page of a pfn that was decoded from a device-private entry as if it were a present pte: the pfn
 * is beyond all memory that has struct pages. NON-KERNEL.
 */
function no_subpage(m: Machine, pfn: number): void {
  if ((m.ram.section_if_present(pfn)?.page_base ?? 0) !== 0)
    throw new Unmodelled(`try_to_migrate_one: the struct page of pfn 0x${pfn.toString(16)} in another one's place`);
  throw new Oops(`BUG: unable to handle page fault for address: ${(VMEMMAP_START + BigInt(pfn) * 64n).toString(16)}`);
}

/** Returns the pfn in a device-private pte. NON-KERNEL: a line of upstream's try_to_migrate_one(). */
function pfn_of_leaf(m: Machine, pteval: number): number {
  if (m.patch.private_subpage_by_pte_pfn) no_subpage(m, leaf_pte_pfn(pteval));
  return softleaf_to_pfn(m, softleaf_from_pte(pteval));
}

/** Returns the walk of a folio that is unmapped. NON-KERNEL: a line of upstream's try_to_migrate_one(). */
function ttu_walk(m: Machine, folio: number, vma: vm_area_struct, start: number, ttu: number): page_vma_mapped_walk {
  const pvmw = DEFINE_FOLIO_VMA_WALK(m, folio, vma, start, ttu & TTU_SYNC ? PVMW_SYNC : 0);
  if (ttu & TTU_SYNC && m.patch.ttu_sync_forgets_offsets) pvmw.flags = PVMW_SYNC;
  return pvmw;
}

/**
 * Clears a present pte and flushes it, or puts the flush off. Returns the old pte. NON-KERNEL: common lines of
 * upstream's try_to_migrate_one() and try_to_unmap_one().
 */
function clear_and_flush(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  pt: ptdesc,
  i: number,
  flags: number,
): number {
  if (!should_defer_flush(m, vma.vm_mm, flags)) return ptep_clear_flush(m, vma, address, pt, i);
  const pteval = ptep_get_and_clear(m, vma.vm_mm, address, pt, i);
  set_tlb_ubc_flush_pending(m, vma.vm_mm, pteval);
  return pteval;
}

/**
 * Replaces the mappings of one vma by migration entries (mm/rmap.c: try_to_migrate_one()). Hugetlb folios and hwpoison
 * are Unmodelled.
 */
function* try_to_migrate_one(m: Machine, folio: number, vma: vm_area_struct, start: number, ttu: number): Gen<boolean> {
  if (folio_test_hugetlb(m, folio)) throw new Unmodelled('try_to_migrate_one: hugetlb folios');
  const mm = vma.vm_mm;
  const pvmw = ttu_walk(m, folio, vma, start, ttu);
  let flags = ttu;
  let ret = true;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, start, vma_address_end(pvmw));
  yield* mmu_notifier_invalidate_range_start(m, range);

  while (yield* page_vma_mapped_walk(m, pvmw)) {
    if (pvmw.pte === null) {
      const pmdt = pvmw.pmdt as ptdesc;
      if (flags & TTU_SPLIT_HUGE_PMD) {
        split_huge_pmd_locked(m, vma, pvmw.address, pmdt, pvmw.pi, true);
        flags &= ~TTU_SPLIT_HUGE_PMD;
        if (m.patch.ttu_split_ends_walk) {
          ret = false;
          page_vma_mapped_walk_done(m, pvmw);
          break;
        }
        page_vma_mapped_walk_restart(m, pvmw);
        continue;
      }
      const pmdval = pmdt.entry[pvmw.pi];
      const page = pmd_present(pmdval)
        ? pfn_to_page(m, pmd_pfn(pmdval))
        : softleaf_to_page(m, softleaf_from_pmd(pmdval));
      BUG_ON(
        folio_nr_pages(m, folio) < HPAGE_PMD_NR,
        'mm/rmap.c: try_to_migrate_one() of a small folio mapped by a pmd',
      );
      if (set_pmd_migration_entry(m, pvmw, page) !== 0) {
        ret = false;
        page_vma_mapped_walk_done(m, pvmw);
        break;
      }
      continue;
    }
    const pt = pvmw.pte;
    const i = pvmw.ptei;
    const address = pvmw.address;
    let pteval = pt.entry[i];
    const pfn = pte_present(pteval) ? pte_pfn(pteval) : pfn_of_leaf(m, pteval);
    const subpage = folio_page(folio, pfn - pvmw.pfn);
    const anon = folio_test_anon(m, folio);
    const anon_exclusive = anon && PageAnonExclusive(m, subpage);
    let writable: boolean;
    if (pte_present(pteval)) {
      pteval = clear_and_flush(m, vma, address, pt, i, flags);
      if (pte_dirty(pteval)) folio_mark_dirty(m, folio);
      writable = pte_write(pteval);
    } else {
      check_counted(m, pteval);
      pte_clear(m, mm, address, pt, i);
      writable = softleaf_is_device_private_write(softleaf_from_pte(pteval));
    }
    if (writable && anon && !anon_exclusive) WARN_ON(m, true, 'try_to_migrate_one');
    if (PageHWPoison(m, subpage)) throw new Unmodelled('try_to_migrate_one: hwpoison pages');
    if (anon_exclusive && folio_try_share_anon_rmap_pte(m, folio, subpage) !== 0) {
      set_pte_at(m, mm, address, pt, i, pteval);
      ret = false;
      page_vma_mapped_walk_done(m, pvmw);
      break;
    }
    set_pte_at(m, mm, address, pt, i, migration_pte(m, subpage, pteval, writable, anon_exclusive));
    folio_remove_rmap_pte(m, folio, subpage, vma);
    folio_put(m, folio);
    if (page_vma_mapped_walk_last(m, pvmw)) break;
  }

  yield* mmu_notifier_invalidate_range_end(m, range);
  return ret;
}

/**
 * Tries to replace every mapping of the locked folio by migration entries; TTU_SPLIT_HUGE_PMD splits pmd mappings
 * first. The caller checks folio_mapped() for success (mm/rmap.c: try_to_migrate()).
 */
export function* try_to_migrate(m: Machine, folio: number, flags: number): Gen<void> {
  if (
    WARN_ON_ONCE(
      m,
      (flags & ~(TTU_RMAP_LOCKED | TTU_SPLIT_HUGE_PMD | TTU_SYNC | TTU_BATCH_FLUSH)) !== 0,
      'try_to_migrate',
    )
  )
    return;
  const coherent = folio_is_device_coherent(m, folio) && !m.patch.coherent_v3;
  if (folio_is_zone_device(m, folio) && !folio_is_device_private(m, folio) && !coherent) return;
  const rwc: rmap_walk_control = {
    arg: flags,
    rmap_one: try_to_migrate_one,
    done: folio_not_mapped,
    anon_lock: folio_lock_anon_vma_read,
  };
  if (flags & TTU_RMAP_LOCKED) yield* rmap_walk_locked(m, folio, rwc);
  else yield* rmap_walk(m, folio, rwc);
}

/**
 * Unmaps one pte of a lazily freed anonymous folio. Returns false if the folio was written to or has other users.
 * NON-KERNEL: the anonymous part of upstream's try_to_unmap_one(). Swap is Unmodelled.
 */
function ttu_anon_folio(m: Machine, vma: vm_area_struct, folio: number): boolean {
  const swapbacked = folio_test_swapbacked(m, folio);
  if (WARN_ON_ONCE(m, swapbacked !== folio_test_swapcache(m, folio), 'ttu_anon_folio')) return false;
  if (swapbacked) throw new Unmodelled('ttu_anon_swapbacked_folio: swap');
  const ref_count = m.page._refcount[folio];
  if (folio_test_dirty(m, folio)) {
    folio_set_swapbacked(m, folio);
    return false;
  }
  if (ref_count !== 1 + folio_mapcount(m, folio)) return false;
  add_mm_counter(vma.vm_mm, MM_ANONPAGES, -1);
  return true;
}

/** Unmaps the folio from one vma (mm/rmap.c: try_to_unmap_one()). Hugetlb folios and hwpoison are Unmodelled. */
function* try_to_unmap_one(m: Machine, folio: number, vma: vm_area_struct, start: number, ttu: number): Gen<boolean> {
  if (folio_test_hugetlb(m, folio)) throw new Unmodelled('try_to_unmap_poisoned_hugetlb_one: hugetlb folios');
  const mm = vma.vm_mm;
  const pvmw = ttu_walk(m, folio, vma, start, ttu);
  let flags = ttu;
  let ret = true;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, start, vma_address_end(pvmw));
  yield* mmu_notifier_invalidate_range_start(m, range);

  while (yield* page_vma_mapped_walk(m, pvmw)) {
    if (!(flags & TTU_IGNORE_MLOCK) && vma.vm_flags & VM_LOCKED) {
      ret = false;
      page_vma_mapped_walk_done(m, pvmw);
      break;
    }
    if (pvmw.pte === null && flags & TTU_SPLIT_HUGE_PMD) {
      split_huge_pmd_locked(m, vma, pvmw.address, pvmw.pmdt as ptdesc, pvmw.pi, false);
      flags &= ~TTU_SPLIT_HUGE_PMD;
      page_vma_mapped_walk_restart(m, pvmw);
      continue;
    }
    BUG_ON(pvmw.pte === null, 'mm/rmap.c: try_to_unmap_one() of a folio mapped by a pmd');
    const pt = pvmw.pte as ptdesc;
    const i = pvmw.ptei;
    const address = pvmw.address;
    let pteval = pt.entry[i];
    const pfn = pte_present(pteval) ? pte_pfn(pteval) : softleaf_to_pfn(m, softleaf_from_pte(pteval));
    const page = folio_page(folio, pfn - pvmw.pfn);
    if (pte_present(pteval)) {
      pteval = clear_and_flush(m, vma, address, pt, i, flags);
      if (pte_dirty(pteval)) folio_mark_dirty(m, folio);
    } else {
      check_counted(m, pteval);
      pte_clear(m, mm, address, pt, i);
    }
    if (PageHWPoison(m, folio)) throw new Unmodelled('try_to_unmap_one: hwpoison pages');
    if (folio_test_anon(m, folio)) {
      if (!ttu_anon_folio(m, vma, folio)) {
        set_pte_at(m, mm, address, pt, i, pteval);
        ret = false;
        page_vma_mapped_walk_done(m, pvmw);
        break;
      }
    } else {
      add_mm_counter(mm, mm_counter_file(m, folio), -1);
    }
    folio_remove_rmap_pte(m, folio, page, vma);
    folio_put(m, folio);
  }

  yield* mmu_notifier_invalidate_range_end(m, range);
  return ret;
}

/**
 * Tries to unmap the locked folio from all vmas (mm/rmap.c: try_to_unmap()). Anonymous folios that need swap and
 * poisoned pages are Unmodelled. Ptes are unmapped one by one, where upstream batches them.
 */
export function* try_to_unmap(m: Machine, folio: number, flags: number): Gen<void> {
  const rwc: rmap_walk_control = {
    arg: flags,
    rmap_one: try_to_unmap_one,
    done: folio_not_mapped,
    anon_lock: folio_lock_anon_vma_read,
  };
  if (flags & TTU_RMAP_LOCKED) yield* rmap_walk_locked(m, folio, rwc);
  else yield* rmap_walk(m, folio, rwc);
}
