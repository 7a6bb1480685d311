// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { should_fail } from '../fault-inject.ts';
import { __GFP_NOFAIL } from './page_alloc.ts';

/** Kernel arrays that drivers allocate; of all of slab and vmalloc only these are counted. NON-KERNEL. */
export class slab_state {
  /** arrays allocated and not freed */
  live = 0;
  /** tasks, by pid, whose n-th allocation from now on fails (include/linux/sched.h: task_struct.fail_nth) */
  readonly fail_nth = new Map<number, number>();
}

/**
 * An array of n zeroed words of 64 bits, or null, which only fault injection brings about and never with __GFP_NOFAIL
 * (include/linux/slab.h: kcalloc()). The memory is not taken from the page allocator.
 */
export function kcalloc(m: Machine, n: number, gfp: number): Float64Array | null {
  if ((gfp & __GFP_NOFAIL) === 0 && should_fail(m)) return null;
  m.slab.live++;
  return new Float64Array(n);
}

/**
 * As kcalloc(); memory in single pages serves it where one piece cannot be had, so that it does not fail
 * (include/linux/slab.h: kvcalloc()).
 */
export function kvcalloc(m: Machine, n: number, gfp: number): Float64Array {
  return kcalloc(m, n, gfp | __GFP_NOFAIL) as Float64Array;
}

/** Frees what kvcalloc() or kcalloc() answered; null is ignored (mm/slub.c: kvfree()). */
export function kvfree(m: Machine, array: Float64Array | null): void {
  if (array !== null) m.slab.live--;
}
