// SPDX-License-Identifier: GPL-2.0-only
// TLB flushes of unmapped ptes that are put off, so that many pages cost one interrupt of the other CPUs.

import {
  arch_tlbbatch_add_pending,
  arch_tlbbatch_flush,
  arch_tlbbatch_should_defer,
  flush_tlb_mm,
  pte_accessible,
} from '../../arch/x86/mm/tlb.ts';
import { pte_dirty } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import type { mm_struct } from '../mm_types.ts';

/** The caller of try_to_migrate() or try_to_unmap() calls try_to_unmap_flush() (include/linux/rmap.h: TTU_BATCH_FLUSH). */
export const TTU_BATCH_FLUSH = 0x40;

// mm->tlb_flush_batched counts flushes put off in its lower bits and those done in its upper ones (mm/rmap.c).
const TLB_FLUSH_BATCH_FLUSHED_SHIFT = 16;
const TLB_FLUSH_BATCH_PENDING_MASK = (1 << (TLB_FLUSH_BATCH_FLUSHED_SHIFT - 1)) - 1;
const TLB_FLUSH_BATCH_PENDING_LARGE = TLB_FLUSH_BATCH_PENDING_MASK >> 1;

/** Does the flushes that the current task has put off (mm/rmap.c: try_to_unmap_flush()). */
export function* try_to_unmap_flush(m: Machine): Gen<void> {
  const tlb_ubc = m.current.tlb_ubc;
  if (!tlb_ubc.flush_required) return;
  if (m.sched.explore) yield* preempt_point(m, 'try_to_unmap_flush');
  arch_tlbbatch_flush(m, tlb_ubc);
  tlb_ubc.flush_required = false;
  tlb_ubc.writable = false;
}

/** Puts off the flush of a pte that was cleared under its lock (mm/rmap.c: set_tlb_ubc_flush_pending()). */
export function set_tlb_ubc_flush_pending(m: Machine, mm: mm_struct, pteval: number): void {
  if (!pte_accessible(mm, pteval)) return;
  const tlb_ubc = m.current.tlb_ubc;
  arch_tlbbatch_add_pending(tlb_ubc, mm);
  tlb_ubc.flush_required = true;
  if ((mm.tlb_flush_batched & TLB_FLUSH_BATCH_PENDING_MASK) > TLB_FLUSH_BATCH_PENDING_LARGE) mm.tlb_flush_batched = 1;
  else mm.tlb_flush_batched++;
  if (pte_dirty(pteval)) tlb_ubc.writable = true;
}

/** Returns true if the flush is put off: with TTU_BATCH_FLUSH, and another CPU to flush (mm/rmap.c: should_defer_flush()). */
export function should_defer_flush(m: Machine, mm: mm_struct, flags: number): boolean {
  return (flags & TTU_BATCH_FLUSH) !== 0 && arch_tlbbatch_should_defer(m, mm);
}

/**
 * Flushes the mm if flushes of it were put off since the last call: whoever changes ptes must not rely on those that are
 * gone already being gone from the TLBs. Called under the pte lock (mm/rmap.c: flush_tlb_batched_pending()).
 */
export function flush_tlb_batched_pending(m: Machine, mm: mm_struct): void {
  const pending = mm.tlb_flush_batched & TLB_FLUSH_BATCH_PENDING_MASK;
  const flushed = mm.tlb_flush_batched >> TLB_FLUSH_BATCH_FLUSHED_SHIFT;
  if (pending === flushed || m.patch.no_flush_of_batches) return;
  flush_tlb_mm(m, mm);
  mm.tlb_flush_batched = pending | (pending << TLB_FLUSH_BATCH_FLUSHED_SHIFT);
}
