// SPDX-License-Identifier: GPL-2.0-only

import { HPAGE_PMD_ORDER } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EBUSY, ENOMEM } from '../../errno.ts';
import type { address_space } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { cond_resched } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_add_lru, folio_put } from '../folio.ts';
import { deferred_split_folio } from '../huge_memory/deferred_split.ts';
import { split_folio_to_list } from '../huge_memory/split_folio.ts';
import type { anon_vma } from '../mm_types.ts';
import {
  clear_flags,
  folio_set_large_rmappable,
  folio_test_locked,
  folio_test_partially_mapped,
  folio_test_private,
  folio_test_uptodate,
  folio_test_writeback,
  PG_active,
  PG_unevictable,
} from '../page-flags.ts';
import {
  folio_order,
  folio_ref_count,
  folio_test_anon,
  folio_test_hugetlb,
  folio_test_large,
  large,
  list_add,
  list_add_tail,
  list_del,
  PageList,
} from '../page.ts';
import { folio_alloc, GFP_HIGHUSER_MOVABLE, GFP_TRANSHUGE } from '../page_alloc.ts';
import { folio_get_anon_vma, put_anon_vma } from '../rmap/anon_vma.ts';
import { folio_expected_ref_count, folio_mapped } from '../rmap/rmap.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { folio_copy, folio_mapping } from '../util.ts';
import { folio_isolate_lru, folio_putback_lru } from '../vmscan.ts';
import { __folio_migrate_mapping, folio_migrate_flags, remove_migration_ptes } from './entry.ts';

// enum migrate_mode (include/linux/migrate_mode.h)
const MIGRATE_ASYNC = 0;
const MIGRATE_SYNC_LIGHT = 1;
export const MIGRATE_SYNC = 2;

// enum migrate_reason (include/linux/migrate_mode.h)
export const MR_COMPACTION = 0;
export const MR_MEMORY_FAILURE = 1;
export const MR_MEMORY_HOTPLUG = 2;
export const MR_SYSCALL = 3;
export const MR_MEMPOLICY_MBIND = 4;
export const MR_NUMA_MISPLACED = 5;
export const MR_CONTIG_RANGE = 6;
export const MR_LONGTERM_PIN = 7;
export const MR_DEMOTION = 8;

const NR_MAX_MIGRATE_ASYNC_RETRY = 3;
const NR_MAX_MIGRATE_SYNC_RETRY = 7;

/** Allocates a destination folio, or returns 0 (include/linux/migrate.h: new_folio_t). */
type new_folio_t = (m: Machine, folio: number) => number;
/** Frees an unused destination folio (include/linux/migrate.h: free_folio_t). */
type free_folio_t = (m: Machine, folio: number) => void;

/**
 * Isolates a folio from the LRU onto the list; the caller holds a reference (mm/migrate.c: isolate_folio_to_list()).
 */
export function isolate_folio_to_list(m: Machine, folio: number, list: PageList): boolean {
  if (folio_test_hugetlb(m, folio)) throw new Unmodelled('isolate_folio_to_list: hugetlb folios');
  if (!folio_isolate_lru(m, folio)) return false;
  list_add(m, folio, list);
  return true;
}

/** Puts isolated folios back on the LRU (mm/migrate.c: putback_movable_pages()). */
export function putback_movable_pages(m: Machine, l: PageList): void {
  while (l.first !== 0) {
    const folio = l.first;
    list_del(m, folio, l);
    folio_putback_lru(m, folio);
  }
}

/**
 * Allocates a folio of the order of `src`, or returns 0 (mm/migrate.c: alloc_migration_target()). Leaves out nodes and
 * hugetlb folios: callers have neither.
 */
export function alloc_migration_target(m: Machine, src: number, gfp_mask = GFP_HIGHUSER_MOVABLE): number {
  const order = folio_order(m, src);
  const dst = folio_alloc(m, order > 0 ? gfp_mask | GFP_TRANSHUGE : gfp_mask, order);
  if (dst !== 0 && order > 0) folio_set_large_rmappable(m, dst);
  return dst;
}

/**
 * Moves contents, mapping and flags of an unmapped folio. Returns 0, or -EAGAIN if there are extra references
 * (mm/migrate.c: migrate_folio()).
 */
function migrate_folio(m: Machine, mapping: address_space | null, dst: number, src: number, _mode: number): number {
  BUG_ON(folio_test_writeback(m, src), 'mm/migrate.c: migrate_folio() under writeback');
  const expected_count = folio_expected_ref_count(m, src) + 1;
  if (folio_ref_count(m, src) !== expected_count) return -EAGAIN;
  folio_copy(m, dst, src);
  const rc = __folio_migrate_mapping(m, mapping, dst, src, expected_count);
  if (rc !== 0) return rc;
  folio_migrate_flags(m, dst, src);
  return 0;
}

/** Migrates an unmapped folio through its mapping's operation (mm/migrate.c: move_to_new_folio()). */
function move_to_new_folio(m: Machine, dst: number, src: number, mode: number): number {
  BUG_ON(
    !folio_test_locked(m, src) || !folio_test_locked(m, dst),
    'mm/migrate.c: move_to_new_folio() of unlocked folios',
  );
  const rc = migrate_folio(m, folio_mapping(m, src), dst, src, mode);
  if (rc === 0 && !folio_test_anon(m, src)) m.page.mapping[src] = 0;
  return rc;
}

/**
 * Migrates one folio. Returns 0 or a negative errno (mm/migrate.c: migrate_folio_unmap()). Includes upstream's
 * migrate_folio_move(): a batch here is one folio.
 */
function* migrate_one(
  m: Machine,
  src: number,
  get_new_folio: new_folio_t,
  put_new_folio: free_folio_t | null,
  mode: number,
): Gen<number> {
  const dst = get_new_folio(m, src);
  if (dst === 0) return -ENOMEM;
  let was_mapped = false;
  let av: anon_vma | null = null;
  let locked = false;
  let dst_locked = false;
  let rc = -EAGAIN;
  unmap: {
    if (!folio_trylock(m, src)) {
      if (mode === MIGRATE_ASYNC || (mode === MIGRATE_SYNC_LIGHT && !folio_test_uptodate(m, src))) break unmap;
      yield* folio_lock(m, src);
    }
    locked = true;
    if (folio_test_writeback(m, src)) {
      if (mode !== MIGRATE_SYNC) {
        rc = -EBUSY;
        break unmap;
      }
      throw new Unmodelled('migrate_folio_unmap: folio_wait_writeback');
    }
    if (folio_test_anon(m, src)) av = folio_get_anon_vma(m, src);
    if (!folio_trylock(m, dst)) break unmap;
    dst_locked = true;
    if (m.page.mapping[src] === 0) {
      if (folio_test_private(m, src)) break unmap;
    } else if (folio_mapped(m, src)) {
      BUG_ON(
        folio_test_anon(m, src) && av === null,
        'mm/migrate.c: migrate_folio_unmap() of an anonymous folio without anon_vma',
      );
      yield* try_to_migrate(m, src, 0);
      was_mapped = true;
    }
    if (folio_mapped(m, src)) break unmap;

    const queued = folio_test_large(m, src) && large(m, src).on_deferred_list;
    const partially_mapped = folio_test_partially_mapped(m, src);
    rc = move_to_new_folio(m, dst, src, mode);
    if (rc !== 0) break unmap;
    if (queued) deferred_split_folio(m, dst, partially_mapped);
    folio_add_lru(m, dst);
    if (was_mapped) yield* remove_migration_ptes(m, src, dst, 0);
    folio_unlock(m, dst);
    folio_put(m, dst);
    if (av !== null) yield* put_anon_vma(m, av);
    folio_unlock(m, src);
    folio_put(m, src);
    return 0;
  }
  if (was_mapped) yield* remove_migration_ptes(m, src, src, 0);
  if (av !== null) yield* put_anon_vma(m, av);
  if (locked) folio_unlock(m, src);
  if (dst_locked) folio_unlock(m, dst);
  if (put_new_folio !== null) put_new_folio(m, dst);
  else folio_put(m, dst);
  return rc;
}

/**
 * Migrates isolated folios; those that fail stay on the list. Returns the number of failures, or -ENOMEM (mm/migrate.c:
 * migrate_pages()). Folios are migrated one by one, as in upstream's synchronous passes. Hugetlb folios are Unmodelled.
 */
export function* migrate_pages(
  m: Machine,
  l: PageList,
  get_new_folio: new_folio_t,
  put_new_folio: free_folio_t | null,
  mode: number,
  _reason: number,
): Gen<number> {
  const failed = new PageList();
  const split = new PageList();
  let nr_failed = 0;
  let error = 0;
  const passes =
    mode === MIGRATE_ASYNC ? NR_MAX_MIGRATE_ASYNC_RETRY + NR_MAX_MIGRATE_SYNC_RETRY : NR_MAX_MIGRATE_SYNC_RETRY;
  while (l.first !== 0 || split.first !== 0) {
    const from = l.first !== 0 ? l : split;
    const folio = from.first;
    if (folio_test_hugetlb(m, folio)) throw new Unmodelled('migrate_hugetlbs: hugetlb folios');
    list_del(m, folio, from);
    if (m.sched.explore) yield* cond_resched(m);
    if (folio_ref_count(m, folio) === 1) {
      clear_flags(m, folio, PG_active | PG_unevictable);
      folio_put(m, folio);
      continue;
    }
    let rc = -EAGAIN;
    if (from === split) rc = yield* migrate_one(m, folio, get_new_folio, put_new_folio, MIGRATE_ASYNC);
    else {
      if (mode !== MIGRATE_ASYNC) {
        for (let pass = 0; pass < NR_MAX_MIGRATE_ASYNC_RETRY && rc === -EAGAIN; pass++) {
          rc = yield* migrate_one(m, folio, get_new_folio, put_new_folio, MIGRATE_ASYNC);
        }
      }
      if (rc !== 0 && rc !== -ENOMEM) {
        rc = -EAGAIN;
        for (let pass = 0; pass < passes && rc === -EAGAIN; pass++)
          rc = yield* migrate_one(m, folio, get_new_folio, put_new_folio, mode);
      }
    }
    if (rc === 0) continue;
    if (rc === -ENOMEM && from === l && folio_order(m, folio) > 0 && folio_order(m, folio) <= HPAGE_PMD_ORDER) {
      yield* folio_lock(m, folio);
      const ret = yield* split_folio_to_list(m, folio, split);
      folio_unlock(m, folio);
      if (ret === 0) {
        list_add_tail(m, folio, split);
        nr_failed++;
        continue;
      }
    }
    list_add_tail(m, folio, failed);
    if (from !== split) nr_failed++;
    if (rc === -ENOMEM && from === l) {
      error = rc;
      break;
    }
  }
  for (const rest of [failed, split]) {
    while (rest.first !== 0) {
      const folio = rest.first;
      list_del(m, folio, rest);
      list_add_tail(m, folio, l);
    }
  }
  if (l.first === 0) return 0;
  return error !== 0 ? error : nr_failed;
}
