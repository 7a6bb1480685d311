// SPDX-License-Identifier: GPL-2.0-only
// Reclaim of anonymous memory without swap: only lazily freed (MADV_FREE) folios that were not written since can be
// reclaimed.

import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { Unmodelled } from '../unmodelled.ts';
import { folio_trylock, folio_unlock } from './filemap/folio_lock.ts';
import { folio_add_lru, folio_put, lruvec_del_folio } from './folio.ts';
import {
  folio_clear_active,
  folio_clear_lru,
  folio_set_active,
  folio_test_dirty,
  folio_test_lru,
  folio_test_mlocked,
  folio_test_swapbacked,
} from './page-flags.ts';
import { free_unref_folios } from './page_alloc.ts';
import { folio_get, folio_nr_pages, folio_ref_freeze, folio_test_anon, folio_test_large } from './page.ts';
import { folio_mapped, folio_maybe_dma_pinned } from './rmap/rmap.ts';
import { try_to_unmap_flush, TTU_BATCH_FLUSH } from './rmap/tlb_batch.ts';
import { try_to_unmap } from './rmap/walk.ts';

/** Folios of a batch (include/linux/folio_batch.h: FOLIO_BATCH_SIZE). */
const PAGEVEC_SIZE = 31;

/** What shrink_folio() says of a folio. NON-KERNEL (upstream: labels of shrink_folio_list()). */
const KEEP = 0;
const FREE_IT = 1;

/**
 * Unmaps one isolated folio. Returns FREE_IT with its last reference gone, or KEEP. NON-KERNEL: the body of the loop of
 * upstream's shrink_folio_list().
 */
function* shrink_folio(m: Machine, folio: number): Gen<number> {
  if (!folio_test_anon(m, folio)) throw new Unmodelled('shrink_folio_list: folios of files');
  if (folio_test_large(m, folio)) throw new Unmodelled('shrink_folio_list: large folios');
  if (!folio_trylock(m, folio)) return KEEP;
  if (folio_test_swapbacked(m, folio) && folio_maybe_dma_pinned(m, folio)) {
    folio_unlock(m, folio);
    return KEEP;
  }
  let keep = true;
  // A swap-backed folio stays: there is no swap.
  if (!folio_test_swapbacked(m, folio)) {
    if (folio_mapped(m, folio)) yield* try_to_unmap(m, folio, TTU_BATCH_FLUSH);
    keep = folio_mapped(m, folio) || folio_test_dirty(m, folio) || !folio_ref_freeze(m, folio, 1);
  }
  if (keep && !folio_test_mlocked(m, folio)) folio_set_active(m, folio);
  folio_unlock(m, folio);
  return keep ? KEEP : FREE_IT;
}

/**
 * Reclaims isolated folios. Returns those that stay, isolated; adds to sc.nr_reclaimed. What is unmapped is freed in
 * batches, each after one flush of the TLBs (mm/vmscan.c: shrink_folio_list()). Leaves out file and large folios.
 */
function* shrink_folio_list(m: Machine, folio_list: readonly number[], sc: { nr_reclaimed: number }): Gen<number[]> {
  const free_folios: number[] = [];
  const ret_folios: number[] = [];
  for (const folio of folio_list) {
    if ((yield* shrink_folio(m, folio)) === KEEP) {
      ret_folios.push(folio);
      continue;
    }
    sc.nr_reclaimed += folio_nr_pages(m, folio);
    free_folios.push(folio);
    if (free_folios.length < PAGEVEC_SIZE) continue;
    yield* try_to_unmap_flush(m);
    free_unref_folios(m, free_folios);
  }
  yield* try_to_unmap_flush(m);
  free_unref_folios(m, free_folios);
  return ret_folios;
}

/**
 * Reclaims isolated folios and puts back the others. Returns the number of pages freed (mm/vmscan.c: reclaim_pages()).
 */
export function* reclaim_pages(m: Machine, folios: readonly number[]): Gen<number> {
  for (const folio of folios) folio_clear_active(m, folio);
  const sc = { nr_reclaimed: 0 };
  for (const folio of yield* shrink_folio_list(m, folios, sc)) folio_putback_lru(m, folio);
  return sc.nr_reclaimed;
}

/**
 * Isolates the folio from its LRU list with a reference. Returns false if it was on none (mm/vmscan.c:
 * folio_isolate_lru()).
 */
export function folio_isolate_lru(m: Machine, folio: number): boolean {
  BUG_ON(m.page._refcount[folio] === 0, 'mm/vmscan.c: folio_isolate_lru() of a free folio');
  if (!folio_test_lru(m, folio)) return false;
  folio_clear_lru(m, folio);
  folio_get(m, folio);
  lruvec_del_folio(m, folio);
  return true;
}

/** Puts an isolated folio back on its list and drops the reference (mm/vmscan.c: folio_putback_lru()). */
export function folio_putback_lru(m: Machine, folio: number): void {
  folio_add_lru(m, folio);
  folio_put(m, folio);
}
