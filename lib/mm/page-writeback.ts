// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import {
  folio_clear_dirty,
  folio_clear_reclaim,
  folio_test_dirty,
  folio_test_reclaim,
  folio_test_set_dirty,
} from './page-flags.ts';

/**
 * Marks a folio dirty; true if it was clean (mm/page-writeback.c: folio_mark_dirty()). Every mapping here is one of
 * memory (noop_dirty_folio()), so nothing is ever written back.
 */
export function folio_mark_dirty(m: Machine, folio: number): boolean {
  if (folio_test_reclaim(m, folio)) folio_clear_reclaim(m, folio);
  return !folio_test_set_dirty(m, folio);
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
  if (folio_test_dirty(m, folio)) folio_clear_dirty(m, folio);
}
