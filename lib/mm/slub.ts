// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { should_fail } from '../fault-inject.ts';
import { __GFP_NOFAIL } from './page_alloc.ts';

/** Counts kernel arrays that drivers allocate; nothing else of slab and vmalloc is modelled. NON-KERNEL. */
export class slab_state {
  /** arrays not freed yet */
  live = 0;
  /** task_struct.fail_nth by pid: the task's n-th allocation from now on fails */
  readonly fail_nth = new Map<number, number>();
}

/**
 * Returns an array of n zeroed 64-bit words, or null, which only fault injection causes and never with __GFP_NOFAIL
 * (include/linux/slab.h: kcalloc()). The memory does not come from the page allocator.
 */
export function kcalloc(m: Machine, n: number, gfp: number): Float64Array | null {
  if ((gfp & __GFP_NOFAIL) === 0 && should_fail(m)) return null;
  m.slab.live++;
  return new Float64Array(n);
}

/** kcalloc() that falls back to vmalloc and so does not fail (include/linux/slab.h: kvcalloc()). */
export function kvcalloc(m: Machine, n: number, gfp: number): Float64Array {
  return kcalloc(m, n, gfp | __GFP_NOFAIL) as Float64Array;
}

/** Frees an array of kvcalloc() or kcalloc(); ignores null (mm/slub.c: kvfree()). */
export function kvfree(m: Machine, array: Float64Array | null): void {
  if (array !== null) m.slab.live--;
}
