// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { preempt_point } from '../kernel/sched/core.ts';
import { Unmodelled } from '../unmodelled.ts';
import { folio_unqueue_deferred_split } from './huge_memory/deferred_split.ts';
import { is_huge_zero_folio } from './huge_memory/sysfs.ts';
import { free_huge_folio } from './hugetlb/pool.ts';
import { free_zone_device_folio } from './memremap.ts';
import { type vm_area_struct, VM_LOCKED, VM_SPECIAL } from './mm_types.ts';
import {
  clear_flags,
  folio_clear_active,
  folio_clear_referenced,
  folio_clear_unevictable,
  folio_set_active,
  folio_set_lru,
  folio_set_reclaim,
  folio_set_referenced,
  folio_set_unevictable,
  folio_test_active,
  folio_test_clear_lru,
  folio_test_lru,
  folio_test_mlocked,
  folio_test_referenced,
  folio_test_swapbacked,
  folio_test_unevictable,
  PG_active,
  PG_dirty,
  PG_head,
  PG_lru,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_writeback,
  test_flags,
} from './page-flags.ts';
import {
  folio_get,
  folio_nr_pages,
  folio_order,
  folio_ref_freeze,
  folio_test_anon,
  folio_test_hugetlb,
  folio_test_large,
  list_add,
  list_add_tail,
  list_del,
  page_folio,
  PageList,
  ZONE_DEVICE,
} from './page.ts';
import { free_frozen_pages } from './page_alloc.ts';
import { folio_expected_ref_count, folio_mapped } from './rmap/rmap.ts';

/** include/linux/folio_batch.h: FOLIO_BATCH_SIZE */
const FOLIO_BATCH_SIZE = 31;

// include/linux/mmzone.h: enum lru_list
const LRU_INACTIVE_ANON = 0;
export const LRU_ACTIVE_ANON = 1;
const LRU_INACTIVE_FILE = 2;
export const LRU_ACTIVE_FILE = 3;
const LRU_UNEVICTABLE = 4;

type move_fn_t = (m: Machine, folio: number) => void;

/** One CPU's batches of folios for the LRU lists (mm/folio.c: struct cpu_fbatches). */
class cpu_fbatches {
  readonly lru_add: number[] = [];
  readonly lru_deactivate_file: number[] = [];
  readonly lru_deactivate: number[] = [];
  readonly lru_lazyfree: number[] = [];
  readonly lru_activate: number[] = [];
  readonly lru_move_tail: number[] = [];
}

/** The LRU lists and the per-CPU batches in front of them (include/linux/mmzone.h: struct lruvec). */
export class lru_state {
  readonly lists: PageList[] = [];
  /** pages on each list */
  readonly lru_size = new Int32Array(5);
  readonly cpu_fbatches: cpu_fbatches[] = [];
  constructor(m: Machine) {
    for (let i = 0; i <= LRU_UNEVICTABLE; i++) this.lists.push(new PageList());
    for (let i = 0; i < m.cpus.length; i++) this.cpu_fbatches.push(new cpu_fbatches());
  }
}

/** Returns the list that the folio's flags select, LRU_* (include/linux/mm_inline.h: folio_lru_list()). */
export function folio_lru_list(m: Machine, folio: number): number {
  const flags = m.page.flags[folio];
  BUG_ON(
    (flags & (PG_active | PG_unevictable)) === (PG_active | PG_unevictable),
    'include/linux/mm_inline.h: folio_lru_list()',
  );
  if (flags & PG_unevictable) return LRU_UNEVICTABLE;
  return (flags & PG_swapbacked ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE) + (flags & PG_active ? 1 : 0);
}

/** Adds the folio at the head of its list (include/linux/mm_inline.h: lruvec_add_folio()). */
function lruvec_add_folio(m: Machine, folio: number): void {
  const lru = folio_lru_list(m, folio);
  m.lru.lru_size[lru] += folio_nr_pages(m, folio);
  if (lru !== LRU_UNEVICTABLE) list_add(m, folio, m.lru.lists[lru]);
}

/** Adds the folio at the tail of its list (include/linux/mm_inline.h: lruvec_add_folio_tail()). */
function lruvec_add_folio_tail(m: Machine, folio: number): void {
  const lru = folio_lru_list(m, folio);
  m.lru.lru_size[lru] += folio_nr_pages(m, folio);
  list_add_tail(m, folio, m.lru.lists[lru]);
}

/** Removes the folio from its list (include/linux/mm_inline.h: lruvec_del_folio()). */
export function lruvec_del_folio(m: Machine, folio: number): void {
  const lru = folio_lru_list(m, folio);
  if (lru !== LRU_UNEVICTABLE) list_del(m, folio, m.lru.lists[lru]);
  m.lru.lru_size[lru] -= folio_nr_pages(m, folio);
}

/** mm/folio.c: __page_cache_release() */
function __page_cache_release(m: Machine, folio: number): void {
  if (!folio_test_lru(m, folio)) return;
  lruvec_del_folio(m, folio);
  clear_flags(m, folio, PG_lru | PG_active | PG_unevictable);
}

/** Frees a folio whose last reference was dropped (mm/folio.c: __folio_put()). */
function __folio_put(m: Machine, folio: number): void {
  if (m.page.zone[folio] === ZONE_DEVICE) {
    free_zone_device_folio(m, folio);
    return;
  }
  if (folio_test_hugetlb(m, folio)) {
    free_huge_folio(m, folio);
    return;
  }
  __page_cache_release(m, folio);
  if (m.page.flags[folio] & PG_head) folio_unqueue_deferred_split(m, folio);
  free_frozen_pages(m, folio, folio_order(m, folio));
}

/**
 * Drops `refs` references. Returns true if none is left; BUG if there were fewer (include/linux/page_ref.h:
 * folio_ref_sub_and_test()).
 */
function folio_ref_sub_and_test(m: Machine, folio: number, refs: number): boolean {
  const left = m.page._refcount[folio] - refs;
  BUG_ON(left < 0, `include/linux/mm.h: put_page_testzero() without references: page ${folio}`);
  m.page._refcount[folio] = left;
  return left === 0;
}

/** Drops a reference to the folio; the last frees it (include/linux/mm.h: folio_put()). */
export function folio_put(m: Machine, folio: number): void {
  if (folio_ref_sub_and_test(m, folio, 1)) __folio_put(m, folio);
}

/** Drops several references to the folio (include/linux/mm.h: folio_put_refs()). */
export function folio_put_refs(m: Machine, folio: number, refs: number): void {
  if (folio_ref_sub_and_test(m, folio, refs)) __folio_put(m, folio);
}

/** Drops a reference to the page's folio (include/linux/mm.h: put_page()). */
export function put_page(m: Machine, page: number): void {
  folio_put(m, page_folio(m, page));
}

/** Takes a reference to the page's folio, which must already have one (include/linux/mm.h: get_page()). */
export function get_page(m: Machine, page: number): void {
  folio_get(m, page_folio(m, page));
}

/**
 * Drops one reference, or refs[i], of each folio and empties the array. Skips entries of 0 and the huge zero folio,
 * which has its own count (mm/folio.c: folios_put_refs()).
 */
export function folios_put_refs(m: Machine, folios: number[], refs: readonly number[] | null): void {
  for (let i = 0; i < folios.length; i++) {
    const folio = folios[i];
    if (folio === 0 || is_huge_zero_folio(m, folio)) continue;
    if (folio_ref_sub_and_test(m, folio, refs === null ? 1 : refs[i])) __folio_put(m, folio);
  }
  folios.length = 0;
}

/** Drops a reference to each of the folios and empties the array (include/linux/mm.h: folios_put()). */
function folios_put(m: Machine, folios: number[]): void {
  folios_put_refs(m, folios, null);
}

/**
 * Returns true if a per-CPU batch may hold the folio, which is false for large ones (mm/internal.h:
 * folio_may_be_lru_cached()).
 */
function folio_may_be_lru_cached(m: Machine, folio: number): boolean {
  return !folio_test_large(m, folio);
}

/** mm/folio.c: lru_add() */
function lru_add(m: Machine, folio: number): void {
  BUG_ON(folio_test_lru(m, folio), 'mm/folio.c: lru_add() of a folio that is on a list');
  folio_clear_unevictable(m, folio);
  if (folio_test_mlocked(m, folio)) {
    folio_clear_active(m, folio);
    folio_set_unevictable(m, folio);
  }
  lruvec_add_folio(m, folio);
}

/** mm/folio.c: lru_move_tail() */
function lru_move_tail(m: Machine, folio: number): void {
  if (folio_test_unevictable(m, folio)) return;
  lruvec_del_folio(m, folio);
  folio_clear_active(m, folio);
  lruvec_add_folio_tail(m, folio);
}

/** mm/folio.c: lru_activate() */
function lru_activate(m: Machine, folio: number): void {
  if (folio_test_active(m, folio) || folio_test_unevictable(m, folio)) return;
  lruvec_del_folio(m, folio);
  folio_set_active(m, folio);
  lruvec_add_folio(m, folio);
}

/** mm/folio.c: lru_deactivate_file() */
function lru_deactivate_file(m: Machine, folio: number): void {
  if (folio_test_unevictable(m, folio) || folio_mapped(m, folio)) return;
  lruvec_del_folio(m, folio);
  clear_flags(m, folio, PG_active | PG_referenced);
  if (test_flags(m, folio, PG_writeback | PG_dirty)) {
    lruvec_add_folio(m, folio);
    folio_set_reclaim(m, folio);
  } else {
    lruvec_add_folio_tail(m, folio);
  }
}

/** mm/folio.c: lru_deactivate() */
function lru_deactivate(m: Machine, folio: number): void {
  if (folio_test_unevictable(m, folio) || !folio_test_active(m, folio)) return;
  lruvec_del_folio(m, folio);
  clear_flags(m, folio, PG_active | PG_referenced);
  lruvec_add_folio(m, folio);
}

/** mm/folio.c: lru_lazyfree() */
function lru_lazyfree(m: Machine, folio: number): void {
  if (
    !folio_test_anon(m, folio) ||
    !folio_test_swapbacked(m, folio) ||
    test_flags(m, folio, PG_swapcache | PG_unevictable)
  )
    return;
  lruvec_del_folio(m, folio);
  clear_flags(m, folio, PG_active | PG_referenced | PG_swapbacked);
  lruvec_add_folio(m, folio);
}

/** mm/folio.c: folio_batch_move_lru() */
function folio_batch_move_lru(m: Machine, fbatch: number[], move_fn: move_fn_t): void {
  const folios = fbatch.splice(0);
  const is_lru_add = move_fn === lru_add;
  const dead: number[] = [];
  for (let i = 0; i < folios.length; i++) {
    const folio = folios[i];
    if (!is_lru_add && !folio_test_clear_lru(m, folio)) continue;
    if (is_lru_add && folio_ref_freeze(m, folio, 1)) {
      clear_flags(m, folio, PG_active | PG_unevictable);
      if (folio_test_large(m, folio)) folio_unqueue_deferred_split(m, folio);
      folios[i] = 0;
      dead.push(folio);
      continue;
    }
    move_fn(m, folio);
    folio_set_lru(m, folio);
  }
  for (const folio of dead) free_frozen_pages(m, folio, folio_order(m, folio));
  folios_put(m, folios);
}

/** mm/folio.c: __folio_batch_add_and_move() */
function folio_batch_add_and_move(m: Machine, folio: number, fbatch: number[], move_fn: move_fn_t): void {
  folio_get(m, folio);
  fbatch.push(folio);
  if (fbatch.length >= FOLIO_BATCH_SIZE || !folio_may_be_lru_cached(m, folio)) {
    folio_batch_move_lru(m, fbatch, move_fn);
  }
}

/** Returns the current CPU's batches. NON-KERNEL (upstream: this_cpu_ptr(&cpu_fbatches)). */
function this_cpu_fbatches(m: Machine): cpu_fbatches {
  return m.lru.cpu_fbatches[m.current.cpu];
}

/** Queues the folio for its active list (mm/folio.c: folio_activate()). */
function folio_activate(m: Machine, folio: number): void {
  if (test_flags(m, folio, PG_active | PG_unevictable) || !folio_test_lru(m, folio)) return;
  folio_batch_add_and_move(m, folio, this_cpu_fbatches(m).lru_activate, lru_activate);
}

/**
 * Records a use of the folio: inactive,unreferenced -> inactive,referenced -> active (mm/folio.c:
 * folio_mark_accessed()). Leaves out the multi-generation LRU, which the modelled configuration lacks.
 */
export function folio_mark_accessed(m: Machine, folio: number): void {
  if (!folio_test_referenced(m, folio)) {
    folio_set_referenced(m, folio);
  } else if (!folio_test_unevictable(m, folio) && !folio_test_active(m, folio)) {
    if (folio_test_lru(m, folio)) folio_activate(m, folio);
    else if (this_cpu_fbatches(m).lru_add.includes(folio)) folio_set_active(m, folio);
    folio_clear_referenced(m, folio);
  }
}

/** Queues a new folio for its list. The batch holds a reference until it is drained (mm/folio.c: folio_add_lru()). */
export function folio_add_lru(m: Machine, folio: number): void {
  const flags = m.page.flags[folio];
  BUG_ON((flags & (PG_active | PG_unevictable)) === (PG_active | PG_unevictable), 'mm/folio.c: folio_add_lru()');
  BUG_ON((flags & PG_lru) !== 0, 'mm/folio.c: folio_add_lru() of a folio that is on a list');
  folio_batch_add_and_move(m, folio, this_cpu_fbatches(m).lru_add, lru_add);
}

/** folio_add_lru() for a folio mapped in the vma (mm/folio.c: folio_add_lru_vma()). Leaves out mlocked vmas. */
export function folio_add_lru_vma(m: Machine, folio: number, vma: vm_area_struct): void {
  BUG_ON(folio_test_lru(m, folio), 'mm/folio.c: folio_add_lru_vma()');
  if ((vma.vm_flags & (VM_LOCKED | VM_SPECIAL)) === VM_LOCKED)
    throw new Unmodelled('mlock_new_folio: a page of an mlocked vma');
  folio_add_lru(m, folio);
}

/** Makes an anonymous folio lazily freeable: reclaim may drop its contents (mm/folio.c: folio_mark_lazyfree()). */
export function folio_mark_lazyfree(m: Machine, folio: number): void {
  if (
    !folio_test_anon(m, folio) ||
    !folio_test_swapbacked(m, folio) ||
    !folio_test_lru(m, folio) ||
    test_flags(m, folio, PG_swapcache | PG_unevictable)
  )
    return;
  folio_batch_add_and_move(m, folio, this_cpu_fbatches(m).lru_lazyfree, lru_lazyfree);
}

/** Drains one CPU's batches to the lists (mm/folio.c: lru_add_drain_cpu()). */
function lru_add_drain_cpu(m: Machine, cpu: number): void {
  const f = m.lru.cpu_fbatches[cpu];
  if (f.lru_add.length > 0) folio_batch_move_lru(m, f.lru_add, lru_add);
  if (f.lru_move_tail.length > 0) folio_batch_move_lru(m, f.lru_move_tail, lru_move_tail);
  if (f.lru_deactivate_file.length > 0) folio_batch_move_lru(m, f.lru_deactivate_file, lru_deactivate_file);
  if (f.lru_deactivate.length > 0) folio_batch_move_lru(m, f.lru_deactivate, lru_deactivate);
  if (f.lru_lazyfree.length > 0) folio_batch_move_lru(m, f.lru_lazyfree, lru_lazyfree);
  if (f.lru_activate.length > 0) folio_batch_move_lru(m, f.lru_activate, lru_activate);
}

/** Drains the current CPU's batches (mm/folio.c: lru_add_drain()). */
export function lru_add_drain(m: Machine): void {
  lru_add_drain_cpu(m, m.current.cpu);
}

/** Drains every CPU's batches; upstream queues work on each CPU and waits for it (mm/folio.c: lru_add_drain_all()). */
export function* lru_add_drain_all(m: Machine): Gen<void> {
  lru_add_drain(m);
  if (m.sched.explore) yield* preempt_point(m, 'lru_add_drain_all');
  for (let cpu = 0; cpu < m.cpus.length; cpu++) lru_add_drain_cpu(m, cpu);
}

export const LRU_CACHE_NOT_DRAINED = 0;
const LRU_CACHE_DRAINED = 1;
const LRU_CACHE_DRAINED_ALL = 2;

/**
 * Drains the batches, first this CPU's, then all, while the folio has unexpected references beyond `extra_refs`.
 * drained.state remembers across folios what was drained (mm/folio.c: lru_cache_drain_for_folio()).
 */
export function* lru_cache_drain_for_folio(
  m: Machine,
  folio: number,
  extra_refs: number,
  drained: { state: number } | null,
): Gen<void> {
  if (!folio_may_be_lru_cached(m, folio)) return;
  const as_expected = (): boolean => m.page._refcount[folio] === folio_expected_ref_count(m, folio) + extra_refs;
  if (drained === null || drained.state === LRU_CACHE_NOT_DRAINED) {
    if (as_expected()) return;
    lru_add_drain(m);
    if (drained !== null) drained.state = LRU_CACHE_DRAINED;
  }
  if (drained === null || drained.state === LRU_CACHE_DRAINED) {
    if (as_expected()) return;
    yield* lru_add_drain_all(m);
    if (drained !== null) drained.state = LRU_CACHE_DRAINED_ALL;
  }
}
