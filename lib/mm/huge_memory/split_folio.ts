// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { EAGAIN, EBUSY, EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { __folio_set_locked, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_lru_list, folio_put } from '../folio.ts';
import { folio_is_device_private, zone_device_lru_add_tail, zone_device_private_split_cb } from '../memremap.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import {
  folio_set_large_rmappable,
  folio_set_lru,
  folio_test_has_hwpoisoned,
  folio_test_locked,
  folio_test_lru,
  folio_test_swapcache,
  folio_test_unevictable,
  folio_test_writeback,
  PAGE_FLAGS_SECOND,
  PAGE_FLAGS_SPLIT,
  PG_head,
  PG_hwpoison,
  PG_locked,
} from '../page-flags.ts';
import {
  folio_get,
  folio_is_zone_device,
  folio_nr_pages,
  folio_order,
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  folio_test_anon,
  folio_test_large,
  list_add_before,
  list_add_tail,
  page_folio,
  type PageList,
} from '../page.ts';
import { prep_compound_page } from '../page_alloc.ts';
import { anon_vma_lock_write, anon_vma_unlock_write, folio_get_anon_vma, put_anon_vma } from '../rmap/anon_vma.ts';
import { folio_expected_ref_count, folio_mapped } from '../rmap/rmap.ts';
import { try_to_unmap_flush, TTU_BATCH_FLUSH } from '../rmap/tlb_batch.ts';
import {
  try_to_migrate,
  TTU_RMAP_LOCKED,
  TTU_SPLIT_HUGE_PMD,
  TTU_SYNC,
  TTU_USE_SHARED_ZEROPAGE,
} from '../rmap/walk.ts';
import { clear_partially_mapped, deferred_split_del } from './deferred_split.ts';
import {
  count_mthp_stat,
  count_vm_event,
  folio_test_pmd_mappable,
  is_huge_zero_folio,
  is_pmd_order,
  mod_mthp_stat,
  MTHP_STAT_NR_ANON,
  MTHP_STAT_SPLIT,
  MTHP_STAT_SPLIT_FAILED,
} from './sysfs.ts';

// How a folio is split (include/linux/huge_mm.h: enum split_type).
const SPLIT_TYPE_UNIFORM = 0;
const SPLIT_TYPE_NON_UNIFORM = 1;

/**
 * Replaces every mapping of an anonymous folio by migration entries (mm/huge_memory.c: unmap_folio()). Leaves out
 * files: their large folios are Unmodelled.
 */
function* unmap_folio(m: Machine, folio: number): Gen<void> {
  BUG_ON(!folio_test_large(m, folio), 'mm/huge_memory.c: unmap_folio()');
  let ttu_flags = TTU_RMAP_LOCKED | TTU_SYNC | TTU_BATCH_FLUSH;
  if (folio_test_pmd_mappable(m, folio)) ttu_flags |= TTU_SPLIT_HUGE_PMD;
  yield* try_to_migrate(m, folio, ttu_flags);
  yield* try_to_unmap_flush(m);
}

/** Maps the folios again that now cover the `nr` pages of the old folio (mm/huge_memory.c: remap_page()). */
function* remap_page(m: Machine, folio: number, nr: number, flags: number): Gen<void> {
  let i = 0;
  for (;;) {
    yield* remove_migration_ptes(m, folio, folio, TTU_RMAP_LOCKED | flags);
    const n = folio_nr_pages(m, folio);
    i += n;
    if (i >= nr) break;
    folio += n;
  }
}

/** Returns true if the parts of a split folio go to no list. NON-KERNEL: a line of upstream's lru_add_split_folio(). */
function is_on_no_list(m: Machine, folio: number): boolean {
  return m.patch.splits_coherent_as_device ? folio_is_zone_device(m, folio) : folio_is_device_private(m, folio);
}

/**
 * Adds a new folio to the LRU behind the old one, or to `list` with a reference (mm/huge_memory.c:
 * lru_add_split_folio()).
 */
function lru_add_split_folio(m: Machine, folio: number, new_folio: number, list: PageList | null): void {
  BUG_ON(folio_test_lru(m, new_folio), 'mm/huge_memory.c: lru_add_split_folio()');
  if (is_on_no_list(m, folio)) return;
  if (list !== null) {
    WARN_ON(m, folio_test_lru(m, folio), 'lru_add_split_folio');
    folio_get(m, new_folio);
    list_add_tail(m, new_folio, list);
    return;
  }
  // The old folio is frozen but still on its LRU list. The number of pages on the list does not change.
  WARN_ON(m, !folio_test_lru(m, folio), 'lru_add_split_folio');
  if (folio_test_unevictable(m, folio)) {
    // mlock_count shares a word with zone_device_data.
    if (folio_is_zone_device(m, folio)) m.page.zone_device_data[new_folio] = 0;
  } else if (folio_is_zone_device(m, folio)) {
    zone_device_lru_add_tail(m, new_folio, folio);
  } else {
    list_add_before(m, new_folio, folio, m.lru.lists[folio_lru_list(m, folio)]);
  }
  folio_set_lru(m, new_folio);
}

/**
 * Turns a folio of old_order into folios of new_order by rewriting their struct pages (mm/huge_memory.c:
 * __split_folio_to_order()).
 */
function __split_folio_to_order(m: Machine, folio: number, old_order: number, new_order: number): void {
  const p = m.page;
  const new_nr_pages = 1 << new_order;
  const nr_pages = 1 << old_order;
  if (folio_test_has_hwpoisoned(m, folio)) throw new Unmodelled('__split_folio_to_order: a poisoned folio');
  const flags = p.flags[folio] & PAGE_FLAGS_SPLIT;
  const zone_device = folio_is_zone_device(m, folio);
  for (let i = new_nr_pages; i < nr_pages; i += new_nr_pages) {
    const new_folio = folio + i;
    BUG_ON(p._mapcount[new_folio] !== -1, 'mm/huge_memory.c: __split_folio_to_order()');
    p.flags[new_folio] = (p.flags[new_folio] & PG_hwpoison) | flags;
    if (m.sched.explore && (flags & PG_locked) !== 0) __folio_set_locked(m, new_folio);
    p.mapping[new_folio] = p.mapping[folio];
    p.index[new_folio] = p.index[folio] + i;
    WARN_ON_ONCE(m, p.private[new_folio] !== 0, '__split_folio_to_order');
    p.compound_head[new_folio] = 0;
    if (zone_device) p.pgmap[new_folio] = 0;
    if (new_order !== 0) {
      prep_compound_page(m, new_folio, new_order);
      folio_set_large_rmappable(m, new_folio);
    }
  }
  if (new_order !== 0) {
    p.order[folio] = new_order;
  } else {
    // Upstream keeps these flags in the second struct page, which is no longer part of the folio.
    p.flags[folio] &= ~(PG_head | PAGE_FLAGS_SECOND);
    p.order[folio] = 0;
    p.large.delete(folio);
  }
}

/**
 * Splits an unmapped, frozen folio in one step (uniform) or in halves towards `split_at` (mm/huge_memory.c:
 * __split_unmapped_folio()). Leaves out the xarray of a file: only anonymous folios get here.
 */
function __split_unmapped_folio(
  m: Machine,
  folio: number,
  new_order: number,
  split_at: number,
  split_type: number,
): number {
  const is_anon = folio_test_anon(m, folio);
  let old_order = folio_order(m, folio);
  const start_order = split_type === SPLIT_TYPE_UNIFORM ? new_order : old_order - 1;
  for (let split_order = start_order; split_order >= new_order; split_order--) {
    // Anonymous folios of order 1 are not supported.
    if (is_anon && split_order === 1) continue;
    __split_folio_to_order(m, folio, old_order, split_order);
    if (is_anon) {
      mod_mthp_stat(m, old_order, MTHP_STAT_NR_ANON, -1);
      mod_mthp_stat(m, split_order, MTHP_STAT_NR_ANON, 1 << (old_order - split_order));
    }
    folio = page_folio(m, split_at);
    old_order = split_order;
  }
  return 0;
}

/**
 * Checks whether the locked folio may be split. Returns 0, -EBUSY if it may be split later, or -EINVAL
 * (mm/huge_memory.c: folio_check_splittable()).
 */
export function folio_check_splittable(m: Machine, folio: number, new_order: number, split_type: number): number {
  WARN_ON(m, !folio_test_locked(m, folio), 'folio_check_splittable');
  if (m.page.mapping[folio] === 0 && !folio_test_anon(m, folio)) return -EBUSY;
  if (folio_test_anon(m, folio) && new_order === 1) return -EINVAL;
  if ((split_type === SPLIT_TYPE_NON_UNIFORM || new_order !== 0) && folio_test_swapcache(m, folio)) return -EINVAL;
  if (is_huge_zero_folio(m, folio)) return -EINVAL;
  if (folio_test_writeback(m, folio)) return -EBUSY;
  return 0;
}

/**
 * Freezes an unmapped folio, splits it and unfreezes the parts. Returns 0, or -EAGAIN if the folio has extra references
 * (mm/huge_memory.c: __folio_freeze_and_split_unmapped()). A folio in the swap cache is Unmodelled.
 */
function __folio_freeze_and_split_unmapped(
  m: Machine,
  folio: number,
  new_order: number,
  split_at: number,
  do_lru: boolean,
  list: PageList | null,
  split_type: number,
): number {
  const old_order = folio_order(m, folio);
  const end_folio = folio + (1 << old_order);
  if (folio_test_swapcache(m, folio))
    throw new Unmodelled('__folio_freeze_and_split_unmapped: a folio in the swap cache');
  if (!folio_ref_freeze(m, folio, 1)) return -EAGAIN;
  if (folio_test_anon(m, folio) && old_order > 1) {
    deferred_split_del(m, folio);
    clear_partially_mapped(m, folio);
  }
  const ret = __split_unmapped_folio(m, folio, new_order, split_at, split_type);
  for (let new_folio = folio + folio_nr_pages(m, folio); new_folio !== end_folio; ) {
    const next = new_folio + folio_nr_pages(m, new_folio);
    zone_device_private_split_cb(m, folio, new_folio);
    folio_ref_unfreeze(m, new_folio, 1);
    if (do_lru) lru_add_split_folio(m, folio, new_folio, list);
    new_folio = next;
  }
  zone_device_private_split_cb(m, folio, 0);
  folio_ref_unfreeze(m, folio, 1);
  return ret;
}

/**
 * Splits a locked anonymous folio that is still mapped. Returns 0, -EBUSY without an anon_vma, or -EAGAIN with extra
 * references. NON-KERNEL: the anonymous part of upstream's __folio_split().
 */
function* __folio_split_anon(
  m: Machine,
  folio: number,
  new_order: number,
  split_at: number,
  lock_at: number,
  list: PageList | null,
  split_type: number,
): Gen<number> {
  const old_order = folio_order(m, folio);
  const end_folio = folio + (1 << old_order);
  const anon_vma = folio_get_anon_vma(m, folio);
  if (anon_vma === null) return -EBUSY;
  yield* anon_vma_lock_write(m, anon_vma);
  let ret = 0;
  if (folio_expected_ref_count(m, folio) !== folio_ref_count(m, folio) - 1) {
    ret = -EAGAIN;
  } else {
    yield* unmap_folio(m, folio);
    ret = __folio_freeze_and_split_unmapped(m, folio, new_order, split_at, true, list, split_type);
    const ttu_flags = ret === 0 && !folio_is_device_private(m, folio) ? TTU_USE_SHARED_ZEROPAGE : 0;
    yield* remap_page(m, folio, 1 << old_order, ttu_flags);
    for (let new_folio = folio; new_folio !== end_folio; ) {
      const next = new_folio + folio_nr_pages(m, new_folio);
      if (new_folio !== page_folio(m, lock_at)) {
        folio_unlock(m, new_folio);
        folio_put(m, new_folio);
      }
      new_folio = next;
    }
  }
  anon_vma_unlock_write(m, anon_vma);
  yield* put_anon_vma(m, anon_vma);
  return ret;
}

/**
 * Splits a locked folio; the folio of `lock_at` stays locked. Returns 0 or a negative errno (mm/huge_memory.c:
 * __folio_split()). A large folio of a file is Unmodelled.
 */
function* __folio_split(
  m: Machine,
  folio: number,
  new_order: number,
  split_at: number,
  lock_at: number,
  list: PageList | null,
  split_type: number,
): Gen<number> {
  const old_order = folio_order(m, folio);
  WARN_ON_ONCE(m, !folio_test_locked(m, folio), '__folio_split', 'locked');
  WARN_ON_ONCE(m, !folio_test_large(m, folio), '__folio_split', 'large');
  let ret: number;
  if (folio !== page_folio(m, split_at) || folio !== page_folio(m, lock_at)) {
    ret = -EINVAL;
  } else if (new_order >= old_order) {
    ret = -EINVAL;
  } else {
    ret = folio_check_splittable(m, folio, new_order, split_type);
    if (ret !== 0) {
      WARN_ON_ONCE(m, ret === -EINVAL, '__folio_split', 'Tried to split an unsplittable folio');
    } else {
      if (!folio_test_anon(m, folio)) throw new Unmodelled('__folio_split: a large folio of a file');
      ret = yield* __folio_split_anon(m, folio, new_order, split_at, lock_at, list, split_type);
    }
  }
  if (is_pmd_order(old_order)) count_vm_event(m, ret === 0 ? 'THP_SPLIT_PAGE' : 'THP_SPLIT_PAGE_FAILED');
  count_mthp_stat(m, old_order, ret === 0 ? MTHP_STAT_SPLIT : MTHP_STAT_SPLIT_FAILED);
  return ret;
}

/**
 * Splits a locked anonymous folio that is already unmapped and on no LRU list. The parts stay locked and unmapped, with
 * one reference each. Returns 0, or -EAGAIN if the folio has extra references (mm/huge_memory.c:
 * folio_split_unmapped()).
 */
export function folio_split_unmapped(m: Machine, folio: number, new_order: number): number {
  const fn = 'folio_split_unmapped';
  WARN_ON_ONCE(m, folio_mapped(m, folio), fn, 'mapped');
  WARN_ON_ONCE(m, !folio_test_locked(m, folio), fn, 'locked');
  WARN_ON_ONCE(m, !folio_test_large(m, folio), fn, 'large');
  WARN_ON_ONCE(m, !folio_test_anon(m, folio), fn, 'anon');
  if (folio_expected_ref_count(m, folio) !== folio_ref_count(m, folio) - 1) return -EAGAIN;
  return __folio_freeze_and_split_unmapped(m, folio, new_order, folio, false, null, SPLIT_TYPE_UNIFORM);
}

/**
 * Splits the locked folio of `page` into folios of 2^new_order pages. The caller's lock and reference move to the folio
 * that contains `page`. The other folios go to the LRU, or to `list` with a reference. Returns 0, -EAGAIN, -EBUSY or
 * -EINVAL (include/linux/huge_mm.h: split_huge_page_to_list_to_order()). Large folios of files are Unmodelled.
 */
function* split_huge_page_to_list_to_order(
  m: Machine,
  page: number,
  list: PageList | null,
  new_order: number,
): Gen<number> {
  const folio = page_folio(m, page);
  return yield* __folio_split(m, folio, new_order, folio, page, list, SPLIT_TYPE_UNIFORM);
}

/**
 * Splits the locked folio of `page` into folios of 2^new_order pages (include/linux/huge_mm.h:
 * split_huge_page_to_order()).
 */
export function* split_huge_page_to_order(m: Machine, page: number, new_order: number): Gen<number> {
  return yield* split_huge_page_to_list_to_order(m, page, null, new_order);
}

/**
 * Splits the locked folio of `page` into single pages; `page` stays locked (include/linux/huge_mm.h:
 * split_huge_page()).
 */
export function* split_huge_page(m: Machine, page: number): Gen<number> {
  return yield* split_huge_page_to_list_to_order(m, page, null, 0);
}

/**
 * Splits the locked folio into single pages and adds the tails to `list` if it is not null (mm/huge_memory.c:
 * split_folio_to_list()).
 */
export function* split_folio_to_list(m: Machine, folio: number, list: PageList | null): Gen<number> {
  return yield* split_huge_page_to_list_to_order(m, folio, list, 0);
}

/** Splits the locked folio into single pages; its first page stays locked (include/linux/huge_mm.h: split_folio()). */
export function* split_folio(m: Machine, folio: number): Gen<number> {
  return yield* split_folio_to_list(m, folio, null);
}

/**
 * Splits the folio in halves until `page` lies in a folio of 2^new_order pages; the other parts stay as large as
 * possible and the first page stays locked (mm/huge_memory.c: folio_split()).
 */
export function* folio_split(
  m: Machine,
  folio: number,
  new_order: number,
  page: number,
  list: PageList | null,
): Gen<number> {
  return yield* __folio_split(m, folio, new_order, page, folio, list, SPLIT_TYPE_NON_UNIFORM);
}
