// SPDX-License-Identifier: GPL-2.0-only

import { HPAGE_PMD_NR } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EBUSY, EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_add_lru, folio_put, lru_add_drain, lru_add_drain_all } from '../folio.ts';
import { folio_split_unmapped } from '../huge_memory/split_folio.ts';
import { split_huge_pmd_address } from '../huge_memory/split_pmd.ts';
import { folio_is_device_coherent, folio_is_device_private, is_device_private_page } from '../memremap.ts';
import { folio_migrate_flags, folio_migrate_mapping, remove_migration_ptes } from '../migrate/entry.ts';
import { is_vm_hugetlb_page, type vm_area_struct, VM_SPECIAL } from '../mm_types.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init_owner,
} from '../mmu_notifier.ts';
import { folio_test_locked, folio_test_lru, folio_test_private, folio_test_writeback } from '../page-flags.ts';
import {
  folio_get,
  folio_is_zone_device,
  folio_nr_pages,
  folio_order,
  folio_ref_count,
  folio_test_large,
  folio_try_get,
  page_folio,
} from '../page.ts';
import { __GFP_NOWARN, folio_alloc, GFP_USER } from '../page_alloc.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_mapcount, folio_mapped } from '../rmap/rmap.ts';
import { try_to_migrate, TTU_SPLIT_HUGE_PMD } from '../rmap/walk.ts';
import { folio_copy, folio_mapping } from '../util.ts';
import { folio_isolate_lru, folio_putback_lru } from '../vmscan.ts';
import { migrate_vma_collect, migrate_vma_nr_pages } from './collect.ts';
import { migrate_vma_insert_page } from './insert.ts';
import {
  fault_folio_of,
  migrate_pfn,
  MIGRATE_PFN_COMPOUND,
  migrate_pfn_from_page,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_ONE,
  migrate_pfn_to_page,
  type migrate_vma,
} from './migrate_vma.ts';

/** Clears flags of an entry. NON-KERNEL: entries are doubles, which have no &= operator. */
function clear(a: Float64Array, i: number, flags: number): void {
  const v = a[i];
  a[i] = v - (v & flags);
}

/**
 * Returns true if the folio has no unexpected references (mm/migrate_device.c: migrate_vma_check_page()). A device page
 * may have one too many, which folio_migrate_mapping() detects later.
 */
function migrate_vma_check_page(m: Machine, page: number, fault_page: number): boolean {
  const folio = page_folio(m, page);
  let extra = page === fault_page ? 2 : 1;
  if (folio_is_zone_device(m, folio)) extra++;
  if (folio_mapping(m, folio) !== null) extra += folio_test_private(m, folio) ? 2 : 1;
  return folio_ref_count(m, folio) - extra <= folio_mapcount(m, folio);
}

/**
 * Returns the TTU_* flags for a large folio, which is split later if its destination is not large. NON-KERNEL.
 */
function ttu_of_large(m: Machine): number {
  return m.patch.splits_other_pmds ? TTU_SPLIT_HUGE_PMD : 0;
}

/**
 * Unmaps the collected folios. Returns the number of entries that still migrate (mm/migrate_device.c:
 * migrate_device_unmap()).
 */
function* migrate_device_unmap(m: Machine, src_pfns: Float64Array, npages: number, fault_page: number): Gen<number> {
  const fault_folio = fault_folio_of(m, fault_page);
  let allow_drain = true;
  let restore = 0;
  let unmapped = 0;
  lru_add_drain(m);
  let nr = 1;
  for (let i = 0; i < npages; i += nr) {
    nr = 1;
    const mpfn = src_pfns[i];
    const page = migrate_pfn_to_page(m, mpfn);
    if (page === 0) {
      if (mpfn & MIGRATE_PFN_MIGRATE && !m.patch.cpages_without_empty) unmapped++;
      continue;
    }
    if (m.sched.explore) yield* preempt_point(m, 'migrate_device_unmap');
    const folio = page_folio(m, page);
    nr = folio_nr_pages(m, folio);
    if (nr > 1 && !(mpfn & MIGRATE_PFN_COMPOUND)) src_pfns[i] = mpfn + MIGRATE_PFN_COMPOUND;
    const zone_device = folio_is_zone_device(m, folio);
    if (!zone_device) {
      if (!folio_test_lru(m, folio) && allow_drain) {
        yield* lru_add_drain_all(m);
        allow_drain = false;
      }
      if (!folio_isolate_lru(m, folio)) {
        clear(src_pfns, i, MIGRATE_PFN_MIGRATE);
        restore++;
        continue;
      }
      // Isolation took a reference, which replaces the one from collection.
      folio_put(m, folio);
    }
    if (folio_mapped(m, folio)) yield* try_to_migrate(m, folio, nr > 1 ? ttu_of_large(m) : 0);
    if (folio_mapped(m, folio) || !migrate_vma_check_page(m, page, fault_page)) {
      if (!zone_device) {
        folio_get(m, folio);
        folio_putback_lru(m, folio);
      }
      clear(src_pfns, i, MIGRATE_PFN_MIGRATE);
      restore++;
      continue;
    }
    unmapped++;
  }

  for (let i = 0; i < npages && restore > 0; i++) {
    const mpfn = src_pfns[i];
    const page = migrate_pfn_to_page(m, mpfn);
    if (page === 0 || mpfn & MIGRATE_PFN_MIGRATE) continue;
    const folio = page_folio(m, page);
    yield* remove_migration_ptes(m, folio, folio, 0);
    src_pfns[i] = 0;
    if (fault_folio !== folio) folio_unlock(m, folio);
    folio_put(m, folio);
    restore--;
  }
  return unmapped;
}

/**
 * Collects, locks and unmaps the pages of a range. The caller copies the entries of args.src that have
 * MIGRATE_PFN_MIGRATE. Returns 0, or -EINVAL for an invalid range or vma (mm/migrate_device.c: migrate_vma_setup()).
 * mmap_lock is held.
 */
export function* migrate_vma_setup(m: Machine, args: migrate_vma): Gen<number> {
  const nr_pages = Math.floor((args.end - args.start) / PAGE_SIZE);
  args.start -= args.start % PAGE_SIZE;
  args.end -= args.end % PAGE_SIZE;
  const vma = args.vma;
  if (vma === null || is_vm_hugetlb_page(vma) || (vma.vm_flags & VM_SPECIAL) !== 0) return -EINVAL;
  if (nr_pages <= 0) return -EINVAL;
  if (args.start < vma.vm_start || args.start >= vma.vm_end) return -EINVAL;
  if (args.end <= vma.vm_start || args.end > vma.vm_end) return -EINVAL;
  if (args.src === null || args.dst === null) return -EINVAL;
  if (args.fault_page !== 0 && !is_device_private_page(m, args.fault_page)) return -EINVAL;
  if (fault_folio_of(m, args.fault_page) !== 0 && !folio_test_locked(m, page_folio(m, args.fault_page))) return -EINVAL;

  args.src.fill(0, 0, nr_pages);
  args.cpages = 0;
  args.npages = 0;
  yield* migrate_vma_collect(m, args);
  if (args.cpages > 0) args.cpages = yield* migrate_device_unmap(m, args.src, args.npages, args.fault_page);
  return 0;
}

/**
 * Splits an unmapped folio whose destination is not compound. Returns 0 or a negative errno (mm/migrate_device.c:
 * migrate_vma_split_unmapped_folio()).
 */
function* migrate_vma_split_unmapped_folio(
  m: Machine,
  migrate: migrate_vma,
  idx: number,
  addr: number,
  folio: number,
): Gen<number> {
  // Splitting the pmd with `freeze` drops a reference.
  folio_get(m, folio);
  yield* split_huge_pmd_address(m, migrate.vma as vm_area_struct, addr, true);
  const ret = folio_split_unmapped(m, folio, 0);
  if (ret !== 0) return ret;
  const src = migrate.src as Float64Array;
  clear(src, idx, MIGRATE_PFN_COMPOUND);
  const first = src[idx];
  for (let i = 1; i < HPAGE_PMD_NR; i++) src[i + idx] = first + i * MIGRATE_PFN_ONE;
  return 0;
}

/**
 * Moves the state of each source page to its destination and maps destinations without a source (mm/migrate_device.c:
 * __migrate_device_pages()).
 */
function* __migrate_device_pages(
  m: Machine,
  src_pfns: Float64Array,
  dst_pfns: Float64Array,
  npages: number,
  migrate: migrate_vma | null,
): Gen<void> {
  let range: mmu_notifier_range | null = null;
  let nr = 1;
  for (let i = 0; i < npages; i += nr) {
    nr = 1;
    const newpage = migrate_pfn_to_page(m, dst_pfns[i]);
    const page = migrate_pfn_to_page(m, src_pfns[i]);
    if (newpage === 0) {
      clear(src_pfns, i, MIGRATE_PFN_MIGRATE);
      continue;
    }

    if (page === 0) {
      if (!(src_pfns[i] & MIGRATE_PFN_MIGRATE)) continue;
      BUG_ON(migrate === null, 'mm/migrate_device.c: __migrate_device_pages() of an empty entry without a vma');
      const mv = migrate as migrate_vma;
      const addr = mv.start + i * PAGE_SIZE;
      if (range === null) {
        range = new mmu_notifier_range();
        const event = m.seam.migrate_selection.begin(mv);
        mmu_notifier_range_init_owner(range, event, 0, (mv.vma as vm_area_struct).vm_mm, addr, mv.end, mv.pgmap_owner);
        yield* mmu_notifier_invalidate_range_start(m, range);
      }
      if (src_pfns[i] & MIGRATE_PFN_COMPOUND && !(dst_pfns[i] & MIGRATE_PFN_COMPOUND)) {
        nr = migrate_vma_nr_pages(src_pfns[i]);
        clear(src_pfns, i, MIGRATE_PFN_COMPOUND);
      }
      for (let j = 0; j < nr && i + j < npages; j++) {
        const v = src_pfns[i + j];
        src_pfns[i + j] = v + (v & MIGRATE_PFN_MIGRATE ? 0 : MIGRATE_PFN_MIGRATE);
        yield* migrate_vma_insert_page(m, mv, addr + j * PAGE_SIZE, dst_pfns, src_pfns, i + j);
      }
      continue;
    }

    if (m.sched.explore) yield* preempt_point(m, 'migrate_device_pages');
    const newfolio = page_folio(m, newpage);
    const folio = page_folio(m, page);
    const mapping = folio_mapping(m, folio);
    const src = src_pfns[i];
    const dst = dst_pfns[i];
    if (src & MIGRATE_PFN_MIGRATE && src & MIGRATE_PFN_COMPOUND && !(dst & MIGRATE_PFN_COMPOUND)) {
      if (migrate === null) {
        clear(src_pfns, i, MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND);
        continue;
      }
      const left = 1 << folio_order(m, folio);
      if ((yield* migrate_vma_split_unmapped_folio(m, migrate, i, migrate.start + i * PAGE_SIZE, folio)) !== 0) {
        clear(src_pfns, i, MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND);
        nr = left;
        continue;
      }
      WARN_ON_ONCE(m, folio_test_large(m, folio), '__migrate_device_pages');
    } else if (src & MIGRATE_PFN_MIGRATE && dst & MIGRATE_PFN_COMPOUND && !(src & MIGRATE_PFN_COMPOUND)) {
      clear(src_pfns, i, MIGRATE_PFN_MIGRATE);
    }

    if (folio_is_device_private(m, newfolio) || folio_is_device_coherent(m, newfolio)) {
      // Only anonymous memory may migrate to a device. Leaves out folio_free_swap(): there is no swap cache.
      if (mapping !== null) {
        clear(src_pfns, i, MIGRATE_PFN_MIGRATE);
        continue;
      }
    } else if (folio_is_zone_device(m, newfolio)) {
      clear(src_pfns, i, MIGRATE_PFN_MIGRATE);
      continue;
    }
    BUG_ON(folio_test_writeback(m, folio), 'mm/migrate_device.c: __migrate_device_pages() under writeback');

    const extra_cnt = migrate !== null && migrate.fault_page === page ? 1 : 0;
    if (folio_migrate_mapping(m, mapping, newfolio, folio, extra_cnt) !== 0) clear(src_pfns, i, MIGRATE_PFN_MIGRATE);
    else folio_migrate_flags(m, newfolio, folio);
  }
  if (range !== null) yield* mmu_notifier_invalidate_range_end(m, range);
}

/**
 * Moves the state of each source page to its destination; entries that fail lose MIGRATE_PFN_MIGRATE
 * (mm/migrate_device.c: migrate_device_pages()).
 */
export function* migrate_device_pages(
  m: Machine,
  src_pfns: Float64Array,
  dst_pfns: Float64Array,
  npages: number,
): Gen<void> {
  yield* __migrate_device_pages(m, src_pfns, dst_pfns, npages, null);
}

/**
 * Calls __migrate_device_pages() for an address range, where also empty entries are filled (mm/migrate_device.c:
 * migrate_vma_pages()).
 */
export function* migrate_vma_pages(m: Machine, migrate: migrate_vma): Gen<void> {
  yield* __migrate_device_pages(m, migrate.src as Float64Array, migrate.dst as Float64Array, migrate.npages, migrate);
}

/**
 * Drops the reference to a migrated folio, through the LRU if `puts_back`. NON-KERNEL: one line of upstream's
 * __migrate_device_finalize().
 */
function put_migrated(m: Machine, folio: number, puts_back: boolean): void {
  if (puts_back && !folio_is_zone_device(m, folio)) folio_putback_lru(m, folio);
  else folio_put(m, folio);
}

/**
 * Replaces migration entries by mappings of the destination, or of the source on failure, and drops locks and
 * references (mm/migrate_device.c: __migrate_device_finalize()).
 */
function* __migrate_device_finalize(
  m: Machine,
  src_pfns: Float64Array,
  dst_pfns: Float64Array,
  npages: number,
  fault_page: number,
): Gen<void> {
  const fault_folio = fault_folio_of(m, fault_page);
  const fn = '__migrate_device_finalize';
  const puts_back = m.patch.finalize_puts_back;
  for (let i = 0; i < npages; i++) {
    const newpage = migrate_pfn_to_page(m, dst_pfns[i]);
    const page = migrate_pfn_to_page(m, src_pfns[i]);
    let dst = newpage !== 0 ? page_folio(m, newpage) : 0;
    if (page === 0) {
      if (dst !== 0) {
        WARN_ON_ONCE(m, fault_folio === dst, fn, 'empty');
        folio_unlock(m, dst);
        folio_put(m, dst);
      }
      continue;
    }
    const src = page_folio(m, page);
    if (!(src_pfns[i] & MIGRATE_PFN_MIGRATE) || dst === 0) {
      if (dst !== 0) {
        WARN_ON_ONCE(m, fault_folio === dst, fn, 'failed');
        folio_unlock(m, dst);
        folio_put(m, dst);
      }
      dst = src;
    }
    if (!folio_is_zone_device(m, dst) && !puts_back) folio_add_lru(m, dst);
    yield* remove_migration_ptes(m, src, dst, 0);
    if (m.sched.explore) yield* preempt_point(m, 'migrate_device_finalize');
    if (fault_folio !== src) folio_unlock(m, src);
    put_migrated(m, src, puts_back);
    if (dst !== src) {
      WARN_ON_ONCE(m, fault_folio === dst, fn, 'moved');
      folio_unlock(m, dst);
      put_migrated(m, dst, puts_back);
    }
  }
}

/**
 * Ends a migration of device pages: maps the pages, drops locks and references (mm/migrate_device.c:
 * migrate_device_finalize()).
 */
export function* migrate_device_finalize(
  m: Machine,
  src_pfns: Float64Array,
  dst_pfns: Float64Array,
  npages: number,
): Gen<void> {
  yield* __migrate_device_finalize(m, src_pfns, dst_pfns, npages, 0);
}

/** Ends the migration of an address range (mm/migrate_device.c: migrate_vma_finalize()). */
export function* migrate_vma_finalize(m: Machine, migrate: migrate_vma): Gen<void> {
  yield* __migrate_device_finalize(
    m,
    migrate.src as Float64Array,
    migrate.dst as Float64Array,
    migrate.npages,
    migrate.fault_page,
  );
}

/**
 * Locks the folio of an entry. Returns the entry with MIGRATE_PFN_MIGRATE, or 0 (mm/migrate_device.c:
 * migrate_device_pfn_lock()).
 */
function migrate_device_pfn_lock(m: Machine, mpfn: number): number {
  // Tail pages and free pages have refcount 0.
  const folio = migrate_pfn_to_page(m, mpfn);
  if (!folio_try_get(m, folio)) return 0;
  if (!folio_trylock(m, folio)) {
    folio_put(m, folio);
    return 0;
  }
  return mpfn + MIGRATE_PFN_MIGRATE;
}

/**
 * Locks the folio at entry i. Returns the number of entries that it covers, or 0 if they do not fit into the array.
 * NON-KERNEL: the loop body of upstream's migrate_device_range() and migrate_device_pfns().
 */
function migrate_device_collect(m: Machine, src_pfns: Float64Array, i: number, npages: number, start: number): number {
  const folio = page_folio(m, migrate_pfn_to_page(m, start));
  const mpfn = migrate_device_pfn_lock(m, start);
  src_pfns[i] = mpfn;
  const nr = folio_nr_pages(m, folio);
  if (nr > npages - i) {
    if (mpfn & MIGRATE_PFN_MIGRATE) {
      folio_unlock(m, folio);
      folio_put(m, folio);
    }
    src_pfns.fill(0, i, npages);
    return 0;
  }
  if (nr > 1) {
    src_pfns[i] = mpfn + MIGRATE_PFN_COMPOUND;
    src_pfns.fill(0, i + 1, i + nr);
  }
  return nr;
}

/**
 * Collects, locks and unmaps the device pages of a range that are in use. Returns 0. `start` is a pfn, in state
 * device-private-offsets an entry (mm/migrate_device.c: migrate_device_range()).
 */
export function* migrate_device_range(m: Machine, src_pfns: Float64Array, start: number, npages: number): Gen<number> {
  const first = m.device_private.offsets ? start : migrate_pfn(start);
  for (let i = 0; i < npages; ) {
    const nr = migrate_device_collect(m, src_pfns, i, npages, first + i * MIGRATE_PFN_ONE);
    if (nr === 0) break;
    i += nr;
  }
  yield* migrate_device_unmap(m, src_pfns, npages, 0);
  return 0;
}

/**
 * Collects, locks and unmaps the device pages whose pfns, or entries, src_pfns contains (mm/migrate_device.c:
 * migrate_device_pfns()).
 */
export function* migrate_device_pfns(m: Machine, src_pfns: Float64Array, npages: number): Gen<number> {
  for (let i = 0; i < npages; ) {
    const start = src_pfns[i];
    const nr = migrate_device_collect(m, src_pfns, i, npages, m.device_private.offsets ? start : migrate_pfn(start));
    if (nr === 0) break;
    i += nr;
  }
  yield* migrate_device_unmap(m, src_pfns, npages, 0);
  return 0;
}

/**
 * Migrates one coherent device page to system memory; consumes the caller's reference. Returns 0 or -EBUSY
 * (mm/migrate_device.c: migrate_device_coherent_folio()).
 */
export function* migrate_device_coherent_folio(m: Machine, folio: number): Gen<number> {
  WARN_ON_ONCE(m, folio_test_large(m, folio), 'migrate_device_coherent_folio');
  yield* folio_lock(m, folio);
  const src_pfn = new Float64Array([migrate_pfn_from_page(m, folio) + MIGRATE_PFN_MIGRATE]);
  const dst_pfn = new Float64Array(1);
  yield* migrate_device_unmap(m, src_pfn, 1, 0);
  if (!(src_pfn[0] & MIGRATE_PFN_MIGRATE)) return -EBUSY;

  const dfolio = folio_alloc(m, GFP_USER | __GFP_NOWARN, 0);
  if (dfolio !== 0) {
    yield* folio_lock(m, dfolio);
    dst_pfn[0] = migrate_pfn_from_page(m, dfolio);
  }
  yield* migrate_device_pages(m, src_pfn, dst_pfn, 1);
  if (src_pfn[0] & MIGRATE_PFN_MIGRATE) folio_copy(m, dfolio, folio);
  yield* migrate_device_finalize(m, src_pfn, dst_pfn, 1);
  return src_pfn[0] & MIGRATE_PFN_MIGRATE ? 0 : -EBUSY;
}
