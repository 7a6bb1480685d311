// SPDX-License-Identifier: GPL-2.0-only
// Reclaim of anonymous memory without swap: only lazily freed (MADV_FREE) folios that were not written since can be
// reclaimed.

import type { Machine } from '../boot.ts';
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
import { folio_get, folio_nr_pages, folio_ref_count, folio_test_anon, folio_test_large } from './page.ts';
import { folio_mapped, folio_maybe_dma_pinned } from './rmap/rmap.ts';
import { try_to_unmap, TTU_BATCH_FLUSH } from './rmap/walk.ts';

/**
 * Reclaims one isolated folio or puts it back on its list. Returns the number of pages freed (mm/vmscan.c:
 * shrink_folio_list()). Leaves out file and large folios.
 */
function* shrink_folio(m: Machine, folio: number): Gen<number> {
  if (!folio_test_anon(m, folio)) throw new Unmodelled('shrink_folio_list: folios of files');
  if (folio_test_large(m, folio)) throw new Unmodelled('shrink_folio_list: large folios');
  if (!folio_trylock(m, folio)) {
    folio_putback_lru(m, folio);
    return 0;
  }
  if (folio_test_swapbacked(m, folio) && folio_maybe_dma_pinned(m, folio)) {
    folio_unlock(m, folio);
    folio_putback_lru(m, folio);
    return 0;
  }
  let keep = true;
  // A swap-backed folio stays: there is no swap.
  if (!folio_test_swapbacked(m, folio)) {
    if (folio_mapped(m, folio)) yield* try_to_unmap(m, folio, TTU_BATCH_FLUSH);
    keep = folio_mapped(m, folio) || folio_test_dirty(m, folio) || folio_ref_count(m, folio) !== 1;
  }
  if (keep && !folio_test_mlocked(m, folio)) folio_set_active(m, folio);
  folio_unlock(m, folio);
  if (keep) {
    folio_putback_lru(m, folio);
    return 0;
  }
  const nr = folio_nr_pages(m, folio);
  folio_put(m, folio);
  return nr;
}

/**
 * Reclaims isolated folios and puts back the others. Returns the number of pages freed (mm/vmscan.c: reclaim_pages()).
 */
export function* reclaim_pages(m: Machine, folios: readonly number[]): Gen<number> {
  let nr = 0;
  for (const folio of folios) {
    folio_clear_active(m, folio);
    nr += yield* shrink_folio(m, folio);
  }
  return nr;
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
