// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import {
  folio_clear_dirty,
  folio_clear_reclaim,
  folio_test_dirty,
  folio_test_reclaim,
  folio_test_set_dirty,
} from './page-flags.ts';

/**
 * Marks a folio dirty; returns true if it was clean (mm/page-writeback.c: folio_mark_dirty()). Every mapping is
 * memory-backed (noop_dirty_folio()), so nothing is written back.
 */
export function folio_mark_dirty(m: Machine, folio: number): boolean {
  if (folio_test_reclaim(m, folio)) folio_clear_reclaim(m, folio);
  return !folio_test_set_dirty(m, folio);
}

/**
 * folio_mark_dirty() for a folio that is not locked (mm/page-writeback.c: folio_mark_dirty_lock()). Leaves out taking
 * the lock: nothing modelled truncates the folio meanwhile.
 */
export function folio_mark_dirty_lock(m: Machine, folio: number): boolean {
  return folio_mark_dirty(m, folio);
}

/** Clears the dirty state of a folio that is being truncated (mm/page-writeback.c: __folio_cancel_dirty()). */
export function folio_cancel_dirty(m: Machine, folio: number): void {
  if (folio_test_dirty(m, folio)) folio_clear_dirty(m, folio);
}
