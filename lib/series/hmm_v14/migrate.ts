// SPDX-License-Identifier: GPL-2.0-only
// hmm_vma_migrate() of HMM v14, patch 13/16 of 8 December 2016 (Message-Id
// 1481215184-18551-14-git-send-email-jglisse@redhat.com), on today's page tables, rmap and references. NON-KERNEL
// throughout.
//
// Free device pages have refcount 0 today, so the extra 1 that v14 expects of each is left out. Anonymous pages are
// unmapped by try_to_migrate(); v14 uses try_to_unmap() with a flag.
//
// Each m.patch.v14_* is a defect of the posted code.

import { pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  pmd_none,
  type ptdesc,
  pte_index,
  pte_none,
  pte_pfn,
  pte_present,
  pte_write,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { folio_lock, folio_unlock } from '../../mm/filemap/folio_lock.ts';
import { folio_put, lru_add_drain, lru_add_drain_all } from '../../mm/folio.ts';
import { split_folio } from '../../mm/huge_memory/split_folio.ts';
import { split_huge_pmd } from '../../mm/huge_memory/split_pmd.ts';
import {
  softleaf_from_pte,
  softleaf_is_device_private,
  softleaf_is_device_private_write,
  softleaf_to_page,
} from '../../mm/leafops.ts';
import { folio_migrate_flags, folio_migrate_mapping, remove_migration_ptes } from '../../mm/migrate/entry.ts';
import { migrate_vma_insert_page } from '../../mm/migrate_device/insert.ts';
import { migrate_pfn, MIGRATE_PFN_MIGRATE, migrate_vma } from '../../mm/migrate_device/migrate_vma.ts';
import { is_vm_hugetlb_page, NULL_VMA, type vm_area_struct, VM_SPECIAL, vma_is_anonymous } from '../../mm/mm_types.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../../mm/mmu_notifier.ts';
import { folio_test_lru } from '../../mm/page-flags.ts';
import {
  folio_get,
  folio_is_zone_device,
  folio_ref_count,
  page_folio,
  page_to_pfn,
  PageCompound,
  pfn_to_page,
} from '../../mm/page.ts';
import { type mm_walk, type mm_walk_ops, PGWALK_RDLOCK, walk_page_range_vma } from '../../mm/pagewalk.ts';
import { pte_offset_map_lock } from '../../mm/pgtable-generic.ts';
import { PAGE_SIZE } from '../../mm/physmem.ts';
import { folio_mapcount, folio_mapped } from '../../mm/rmap/rmap.ts';
import { try_to_migrate } from '../../mm/rmap/walk.ts';
import { folio_mapping } from '../../mm/util.ts';
import { folio_isolate_lru, folio_putback_lru } from '../../mm/vmscan.ts';
import {
  dev_page_allow_migrate,
  HMM_PFN_DEVICE,
  hmm_pfn_from_pfn,
  HMM_PFN_LOCKED,
  HMM_PFN_MIGRATE,
  hmm_pfn_to_page,
  HMM_PFN_UNADDRESSABLE,
  HMM_PFN_WRITE,
  is_addressable_page,
} from './hmm.ts';

/**
 * Callbacks of a migration, with one entry per page in src_pfns and dst_pfns. NON-KERNEL (include/linux/hmm.h of HMM
 * v14).
 */
export interface hmm_migrate_ops {
  /**
   * Allocates a destination for each page with HMM_PFN_MIGRATE and copies the contents. A destination is locked, has
   * one reference and HMM_PFN_LOCKED. An entry left 0 does not migrate; HMM_PFN_ERROR reports lost contents.
   */
  alloc_and_copy(
    m: Machine,
    vma: vm_area_struct,
    src_pfns: Float64Array,
    dst_pfns: Float64Array,
    start: number,
    end: number,
    priv: unknown,
  ): Gen<void>;
  /** Called when the pages that still have HMM_PFN_MIGRATE in src_pfns have migrated. */
  finalize_and_map(
    m: Machine,
    vma: vm_area_struct,
    src_pfns: Float64Array,
    dst_pfns: Float64Array,
    start: number,
    end: number,
    priv: unknown,
  ): Gen<void>;
}

/** State of one migration. NON-KERNEL (mm/migrate.c of HMM v14). */
class hmm_migrate {
  readonly vma: vm_area_struct;
  readonly src_pfns: Float64Array;
  readonly dst_pfns: Float64Array;
  readonly start: number;
  readonly end: number;
  /**
   * Entries that still migrate. Upstream's unsigned long wraps below 0; only 0 is tested, so negative values are
   * equivalent.
   */
  npages = 0;
  constructor(vma: vm_area_struct, src_pfns: Float64Array, dst_pfns: Float64Array, start: number, end: number) {
    this.vma = vma;
    this.src_pfns = src_pfns;
    this.dst_pfns = dst_pfns;
    this.start = start;
    this.end = end;
  }
  /** Number of entries of the arrays. */
  get nr(): number {
    return (this.end - this.start) / PAGE_SIZE;
  }
  /** Clears HMM_PFN_MIGRATE of entry i. */
  stays(i: number): void {
    if (this.src_pfns[i] & HMM_PFN_MIGRATE) this.src_pfns[i] -= HMM_PFN_MIGRATE;
  }
}

type Walk = mm_walk<hmm_migrate>;

/** Collects [start, end), where nothing is mapped: a driver may populate it. */
function collect_empty(m: Machine, migrate: hmm_migrate, start: number, end: number): void {
  if (m.patch.v14_skips_empty || !vma_is_anonymous(migrate.vma)) return;
  migrate.src_pfns.fill(HMM_PFN_MIGRATE, (start - migrate.start) / PAGE_SIZE, (end - migrate.start) / PAGE_SIZE);
  migrate.npages += (end - start) / PAGE_SIZE;
}

function* hmm_collect_hole(m: Machine, start: number, end: number, _depth: number, walk: Walk): Gen<number> {
  collect_empty(m, walk.private, start, end);
  return 0;
}

/** Returns the entry of a pte, or 0 if it does not migrate. */
function collect_pte(m: Machine, pte: number): number {
  if (pte_present(pte)) {
    const device = folio_is_zone_device(m, pfn_to_page(m, pte_pfn(pte))) ? HMM_PFN_DEVICE : 0;
    return hmm_pfn_from_pfn(pte_pfn(pte)) + HMM_PFN_MIGRATE + device + (pte_write(pte) ? HMM_PFN_WRITE : 0);
  }
  const entry = softleaf_from_pte(pte);
  if (!softleaf_is_device_private(entry)) return 0;
  const page = softleaf_to_page(m, entry);
  if (!dev_page_allow_migrate(m, page)) return 0;
  const write = softleaf_is_device_private_write(entry) ? HMM_PFN_WRITE : 0;
  return hmm_pfn_from_pfn(page_to_pfn(m, page)) + HMM_PFN_MIGRATE + HMM_PFN_DEVICE + HMM_PFN_UNADDRESSABLE + write;
}

/** Splits a large folio, with no page table lock held. Returns false if the split failed. */
function* collect_split(m: Machine, folio: number): Gen<boolean> {
  yield* folio_lock(m, folio);
  const ret = yield* split_folio(m, folio);
  folio_unlock(m, folio);
  folio_put(m, folio);
  return ret === 0;
}

function* hmm_collect_walk_pmd(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  start: number,
  end: number,
  walk: Walk,
): Gen<number> {
  const migrate = walk.private;
  let addr = start;
  again: for (;;) {
    if (m.sched.explore) yield* preempt_point(m, 'hmm_collect_walk_pmd');
    if (pmd_none(pmdt.entry[pi])) {
      collect_empty(m, migrate, addr, end);
      return 0;
    }
    yield* split_huge_pmd(m, migrate.vma, pmdt, pi, addr);
    const pt = yield* pte_offset_map_lock(m, walk.mm, pmdt, pi, addr);
    if (pt === null) continue;
    for (let i = pte_index(addr); addr < end; addr += PAGE_SIZE, i++) {
      const pte = pt.entry[i];
      if (pte_none(pte) || (pte_present(pte) && pte_pfn(pte) === page_to_pfn(m, m.zero_page))) {
        collect_empty(m, migrate, addr, addr + PAGE_SIZE);
        continue;
      }
      const entry = collect_pte(m, pte);
      const page = hmm_pfn_to_page(m, entry);
      if (page === 0) continue;
      if (PageCompound(m, page)) {
        if (m.patch.v14_skips_huge) continue;
        const folio = page_folio(m, page);
        folio_get(m, folio);
        pte_unmap_unlock(m, pt);
        if (!(yield* collect_split(m, folio))) return 0;
        continue again;
      }
      // A page of the swap cache without rmap.
      if (m.page.mapping[page] === 0) continue;
      migrate.src_pfns[(addr - migrate.start) / PAGE_SIZE] = entry;
      migrate.npages++;
      // The reference keeps others from migrating the page.
      folio_get(m, page);
    }
    pte_unmap_unlock(m, pt);
    return 0;
  }
}

const hmm_collect_ops: mm_walk_ops<hmm_migrate> = {
  pmd_entry: hmm_collect_walk_pmd,
  pte_hole: hmm_collect_hole,
  walk_lock: PGWALK_RDLOCK,
};

/** Collects every page of the range in src_pfns, with a reference. */
function* hmm_migrate_collect(m: Machine, migrate: hmm_migrate): Gen<void> {
  const { vma, start, end } = migrate;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, vma.vm_mm, start, end);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* walk_page_range_vma(m, vma, start, end, hmm_collect_ops, migrate);
  yield* mmu_notifier_invalidate_range_end(m, range);
}

/**
 * Returns false if anyone but the mappings, the page cache and this migration holds a reference: the page may be
 * pinned.
 */
function hmm_migrate_page_check(m: Machine, page: number): boolean {
  if (PageCompound(m, page)) return false;
  if (folio_is_zone_device(m, page) && !dev_page_allow_migrate(m, page)) return false;
  let extra = 1;
  if (folio_mapping(m, page) !== null && !m.patch.v14_cached_is_pinned) extra++;
  return folio_ref_count(m, page) - extra <= folio_mapcount(m, page);
}

function hmm_migrate_put(m: Machine, page: number): void {
  if (folio_is_zone_device(m, page)) folio_put(m, page);
  else folio_putback_lru(m, page);
}

/** Puts an isolated page back that turned out to be pinned. */
function put_pinned(m: Machine, page: number): void {
  if (m.patch.v14_pinned_off_lru) folio_put(m, page);
  else hmm_migrate_put(m, page);
}

/** Locks the collected pages and isolates them from the LRU. The reference of the isolation replaces the first one. */
function* hmm_migrate_lock_and_isolate(m: Machine, migrate: hmm_migrate): Gen<void> {
  const { src_pfns } = migrate;
  let allow_drain = true;
  lru_add_drain(m);
  for (let i = 0; i < migrate.nr && migrate.npages !== 0; i++) {
    const page = hmm_pfn_to_page(m, src_pfns[i]);
    if (page === 0) continue;
    yield* folio_lock(m, page);
    src_pfns[i] += HMM_PFN_LOCKED;
    const zone_device = folio_is_zone_device(m, page);
    if (!zone_device) {
      if (!folio_test_lru(m, page) && allow_drain) {
        yield* lru_add_drain_all(m);
        allow_drain = false;
      }
      const isolated = folio_isolate_lru(m, page);
      if (!isolated) {
        src_pfns[i] = 0;
        migrate.npages--;
        folio_unlock(m, page);
      }
      folio_put(m, page);
      if (!isolated && !m.patch.v14_isolation_falls_through) continue;
    }
    if (!hmm_migrate_page_check(m, page)) {
      src_pfns[i] = 0;
      migrate.npages--;
      folio_unlock(m, page);
      put_pinned(m, page);
    }
  }
}

/** Replaces the mappings by migration entries. Puts back pages that are pinned or still mapped. */
function* hmm_migrate_unmap(m: Machine, migrate: hmm_migrate): Gen<void> {
  const { src_pfns } = migrate;
  let restore = 0;
  for (let i = 0; i < migrate.nr; i++) {
    const page = hmm_pfn_to_page(m, src_pfns[i]);
    if (page === 0 || !(src_pfns[i] & HMM_PFN_MIGRATE)) continue;
    if (m.sched.explore) yield* preempt_point(m, 'hmm_migrate_unmap');
    yield* try_to_migrate(m, page, 0);
    if (folio_mapped(m, page) || !hmm_migrate_page_check(m, page)) {
      migrate.stays(i);
      migrate.npages--;
      restore++;
    }
  }
  // As posted, this loop starts where the first one ended.
  if (m.patch.v14_pinned_not_restored) return;
  for (let i = 0; i < migrate.nr && restore > 0; i++) {
    const page = hmm_pfn_to_page(m, src_pfns[i]);
    if (page === 0 || src_pfns[i] & HMM_PFN_MIGRATE) continue;
    yield* remove_migration_ptes(m, page, page, 0);
    src_pfns[i] = 0;
    folio_unlock(m, page);
    restore--;
    hmm_migrate_put(m, page);
  }
}

/** Maps the destination where nothing was mapped. Returns true on success. */
function* insert_page(m: Machine, migrate: hmm_migrate, i: number, newpage: number): Gen<boolean> {
  const args = new migrate_vma();
  args.vma = migrate.vma;
  const src = new Float64Array([MIGRATE_PFN_MIGRATE]);
  const addr = migrate.start + i * PAGE_SIZE;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, migrate.vma.vm_mm, addr, addr + PAGE_SIZE);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* migrate_vma_insert_page(m, args, addr, new Float64Array([migrate_pfn(page_to_pfn(m, newpage))]), src, 0);
  yield* mmu_notifier_invalidate_range_end(m, range);
  return (src[0] & MIGRATE_PFN_MIGRATE) !== 0;
}

/** Moves the mapping and flags of each source to its destination; entries that fail lose HMM_PFN_MIGRATE. */
function* hmm_migrate_struct_page(m: Machine, migrate: hmm_migrate): Gen<void> {
  const { src_pfns, dst_pfns } = migrate;
  for (let i = 0; i < migrate.nr; i++) {
    const newpage = hmm_pfn_to_page(m, dst_pfns[i]);
    const page = hmm_pfn_to_page(m, src_pfns[i]);
    if (newpage === 0) {
      if (!m.patch.v14_skipped_looks_migrated) migrate.stays(i);
      continue;
    }
    if (!(src_pfns[i] & HMM_PFN_MIGRATE)) continue;
    if (m.sched.explore) yield* preempt_point(m, 'hmm_migrate_struct_page');
    if (page === 0) {
      if (!(yield* insert_page(m, migrate, i, newpage))) migrate.stays(i);
      continue;
    }
    const mapping = folio_mapping(m, page);
    // The kernel itself reads and writes files and cannot access such memory.
    if (mapping !== null && folio_is_zone_device(m, newpage) && !is_addressable_page(m, newpage)) {
      migrate.stays(i);
      continue;
    }
    if (folio_migrate_mapping(m, mapping, newpage, page, 0) !== 0) {
      migrate.stays(i);
      continue;
    }
    folio_migrate_flags(m, newpage, page);
    if (mapping !== null) m.page.mapping[page] = 0;
  }
}

/** Returns true for the entry of a page that has moved. */
function goes_to_destination(m: Machine, src_pfn: number): boolean {
  return (src_pfn & HMM_PFN_MIGRATE) !== 0 || m.patch.v14_remaps_what_failed;
}

/**
 * Replaces the migration entries by mappings of the destination, or of the source if it stays. Drops locks and
 * references.
 */
function* hmm_migrate_remove_migration_pte(m: Machine, migrate: hmm_migrate): Gen<void> {
  const { src_pfns, dst_pfns } = migrate;
  for (let i = 0; i < migrate.nr; i++) {
    if (migrate.npages === 0 && m.patch.v14_counts_twice) return;
    let newpage = hmm_pfn_to_page(m, dst_pfns[i]);
    const page = hmm_pfn_to_page(m, src_pfns[i]);
    const unused = page === 0 || !goes_to_destination(m, src_pfns[i]);
    if (newpage !== 0 && unused) {
      folio_unlock(m, newpage);
      folio_put(m, newpage);
      newpage = 0;
    }
    if (page === 0) continue;
    const target = newpage !== 0 ? newpage : page;
    yield* remove_migration_ptes(m, page, target, 0);
    if (m.sched.explore) yield* preempt_point(m, 'hmm_migrate_remove_migration_pte');
    folio_unlock(m, page);
    migrate.npages--;
    hmm_migrate_put(m, page);
    if (target !== page) {
      folio_unlock(m, target);
      hmm_migrate_put(m, target);
    }
  }
}

/**
 * Migrates a range of one vma to the destinations of ops.alloc_and_copy(), under mmap_lock. Returns -EINVAL for invalid
 * arguments, else 0, even if nothing migrated. dst_pfns has to be all 0. NON-KERNEL (mm/migrate.c of HMM v14).
 */
export function* hmm_vma_migrate(
  m: Machine,
  ops: hmm_migrate_ops | null,
  given_vma: vm_area_struct | null,
  src_pfns: Float64Array | null,
  dst_pfns: Float64Array | null,
  start: number,
  end: number,
  priv: unknown,
): Gen<number> {
  const vma = given_vma === null && m.patch.v14_vma_checked_late ? NULL_VMA : given_vma;
  start -= start % PAGE_SIZE;
  end -= end % PAGE_SIZE;
  if (vma === null || is_vm_hugetlb_page(vma) || vma.vm_flags & VM_SPECIAL) return -EINVAL;
  if (ops === null || src_pfns === null || dst_pfns === null || start >= end) return -EINVAL;
  if (start < vma.vm_start || start >= vma.vm_end) return -EINVAL;
  if (end <= vma.vm_start || end > vma.vm_end) return -EINVAL;

  const migrate = new hmm_migrate(vma, src_pfns, dst_pfns, start, end);
  src_pfns.fill(0, 0, migrate.nr);

  yield* hmm_migrate_collect(m, migrate);
  if (migrate.npages === 0) return 0;
  yield* hmm_migrate_lock_and_isolate(m, migrate);
  if (migrate.npages === 0) return 0;
  yield* hmm_migrate_unmap(m, migrate);
  if (migrate.npages === 0) return 0;

  yield* ops.alloc_and_copy(m, vma, src_pfns, dst_pfns, start, end, priv);
  yield* hmm_migrate_struct_page(m, migrate);
  yield* ops.finalize_and_map(m, vma, src_pfns, dst_pfns, start, end, priv);
  yield* hmm_migrate_remove_migration_pte(m, migrate);
  return 0;
}
