// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { EAGAIN, EBUSY, EFAULT, ENOMEM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { Oops } from '../../kernel/printk.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { lru_cache_drain_for_folio, LRU_CACHE_NOT_DRAINED } from '../folio.ts';
import { folio_is_device_coherent } from '../memremap.ts';
import {
  alloc_migration_target,
  migrate_pages,
  MIGRATE_SYNC,
  MR_LONGTERM_PIN,
  putback_movable_pages,
} from '../migrate/pages.ts';
import { migrate_device_coherent_folio } from '../migrate_device/pages.ts';
import type { mm_struct } from '../mm_types.ts';
import {
  folio_get,
  folio_nr_pages,
  folio_test_hugetlb,
  folio_test_large,
  list_add_tail,
  page_folio,
  PageList,
} from '../page.ts';
import { GUP_PIN_COUNTING_BIAS } from '../rmap/rmap.ts';
import { folio_isolate_lru } from '../vmscan.ts';
import { __get_user_pages_locked } from './gup.ts';
import {
  folio_has_pincount,
  folio_is_longterm_pinnable,
  FOLL_LONGTERM,
  FOLL_PIN,
  gup_put_folio,
  unpin_folio,
  unpin_user_pages,
} from './pin.ts';

/**
 * Returns the folio of entry i (mm/gup.c: pofs_get_folio()). An entry that was cleared is a NULL pointer upstream,
 * which oopses.
 */
function pofs_get_folio(m: Machine, pages: Int32Array, i: number): number {
  if (pages[i] === 0) throw new Oops('BUG: kernel NULL pointer dereference, address: 0000000000000008');
  return page_folio(m, pages[i]);
}

/** Returns the index of the next entry that is not a page of the folio (mm/gup.c: pofs_next_folio()). */
function pofs_next_folio(m: Machine, folio: number, pages: Int32Array, nr_entries: number, i: number): number {
  i++;
  if (folio_test_large(m, folio)) {
    const end = folio + folio_nr_pages(m, folio);
    while (i < nr_entries && pages[i] >= folio && pages[i] < end) i++;
  }
  return i;
}

/**
 * Isolates the folios that must not be pinned long-term. Returns their number (mm/gup.c:
 * collect_longterm_unpinnable_folios()).
 */
function* collect_longterm_unpinnable_folios(
  m: Machine,
  movable_folio_list: PageList,
  pages: Int32Array,
  nr: number,
): Gen<number> {
  const drained = { state: LRU_CACHE_NOT_DRAINED };
  let collected = 0;
  for (let i = 0, folio: number; i < nr; i = pofs_next_folio(m, folio, pages, nr, i)) {
    folio = pofs_get_folio(m, pages, i);
    if (folio_is_longterm_pinnable(m, folio)) continue;
    collected++;
    if (folio_is_device_coherent(m, folio)) continue;
    if (folio_test_hugetlb(m, folio))
      throw new Unmodelled('collect_longterm_unpinnable_folios: a hugetlb folio in movable memory');
    yield* lru_cache_drain_for_folio(m, folio, folio_has_pincount(m, folio) ? 1 : GUP_PIN_COUNTING_BIAS, drained);
    if (!folio_isolate_lru(m, folio)) continue;
    list_add_tail(m, folio, movable_folio_list);
  }
  return collected;
}

/**
 * Migrates the folios that must not be pinned long-term. Returns -EAGAIN if the caller has to retry, or a negative
 * errno (mm/gup.c: migrate_longterm_unpinnable_folios()).
 */
function* migrate_longterm_unpinnable_folios(
  m: Machine,
  movable_folio_list: PageList,
  pages: Int32Array,
  nr: number,
): Gen<number> {
  let ret = -EAGAIN;
  for (let i = 0; i < nr && ret === -EAGAIN; i++) {
    const folio = pofs_get_folio(m, pages, i);
    if (folio_is_device_coherent(m, folio)) {
      // A pin would make the migration fail, so it is replaced by a reference.
      pages[i] = 0;
      folio_get(m, folio);
      gup_put_folio(m, folio, 1, FOLL_PIN);
      if ((yield* migrate_device_coherent_folio(m, folio)) !== 0) ret = -EBUSY;
      continue;
    }
    unpin_folio(m, folio);
    pages[i] = 0;
  }
  if (ret === -EAGAIN && movable_folio_list.first !== 0) {
    if (
      (yield* migrate_pages(m, movable_folio_list, alloc_migration_target, null, MIGRATE_SYNC, MR_LONGTERM_PIN)) !== 0
    )
      ret = -ENOMEM;
  }
  if (ret !== -EAGAIN) unpin_user_pages(m, pages, nr);
  putback_movable_pages(m, movable_folio_list);
  return ret;
}

/** Returns true if one of the pages is of coherent memory and that is an error. NON-KERNEL. */
function refuses_coherent(m: Machine, pages: Int32Array, nr: number): boolean {
  if (!m.patch.coherent_v3) return false;
  return pages.subarray(0, nr).some((page) => folio_is_device_coherent(m, page_folio(m, page)));
}

/**
 * Returns 0 if all pinned pages may stay pinned long-term. Otherwise the pins are dropped, and -EAGAIN tells the caller
 * to retry after migration (mm/gup.c: check_and_migrate_movable_pages()).
 */
export function* check_and_migrate_movable_pages(m: Machine, nr_pages: number, pages: Int32Array): Gen<number> {
  if (refuses_coherent(m, pages, nr_pages)) {
    unpin_user_pages(m, pages, nr_pages);
    return -EFAULT;
  }
  const movable_folio_list = new PageList();
  const collected = yield* collect_longterm_unpinnable_folios(m, movable_folio_list, pages, nr_pages);
  if (collected === 0 || (movable_folio_list.first === 0 && m.patch.empty_list_is_pinnable)) return 0;
  return yield* migrate_longterm_unpinnable_folios(m, movable_folio_list, pages, nr_pages);
}

/**
 * Calls __get_user_pages_locked() and honours FOLL_LONGTERM. Returns the number of pages or a negative errno (mm/gup.c:
 * __gup_longterm_locked()).
 */
export function* __gup_longterm_locked(
  m: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  pages: Int32Array,
  locked: { locked: boolean },
  gup_flags: number,
): Gen<number> {
  if ((gup_flags & FOLL_LONGTERM) === 0)
    return yield* __get_user_pages_locked(m, mm, start, nr_pages, pages, locked, gup_flags);
  for (;;) {
    const nr_pinned_pages = yield* __get_user_pages_locked(m, mm, start, nr_pages, pages, locked, gup_flags);
    if (nr_pinned_pages <= 0) return nr_pinned_pages;
    const rc = yield* check_and_migrate_movable_pages(m, nr_pinned_pages, pages);
    if (rc !== -EAGAIN) return rc !== 0 ? rc : nr_pinned_pages;
  }
}
