// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { clear_flag, PG_dirty, PG_reclaim, test_and_set_flag, test_flag } from './page.ts';

/**
 * Marks a folio dirty; true if it was clean (mm/page-writeback.c: folio_mark_dirty()). Every mapping here is one of
 * memory (noop_dirty_folio()), so nothing is ever written back.
 */
export function folio_mark_dirty(m: Machine, folio: number): boolean {
  if (test_flag(m, folio, PG_reclaim)) clear_flag(m, folio, PG_reclaim);
  return !test_and_set_flag(m, folio, PG_dirty);
}

/**
 * Marks a locked folio dirty (mm/page-writeback.c: folio_mark_dirty_lock(), for a caller that holds the lock or needs
 * none here).
 */
export function folio_mark_dirty_lock(m: Machine, folio: number): boolean {
  return folio_mark_dirty(m, folio);
}

/** Forgets that a folio is dirty, as it is about to go (mm/page-writeback.c: __folio_cancel_dirty()). */
export function folio_cancel_dirty(m: Machine, folio: number): void {
  if (test_flag(m, folio, PG_dirty)) clear_flag(m, folio, PG_dirty);
}
