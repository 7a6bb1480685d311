// SPDX-License-Identifier: GPL-2.0-only
// Memory with known contents. What races with something is touched beforehand, so that few steps are left.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import type { Checks } from './expect.ts';
import * as U from '../../lib/user/uapi.ts';

export const PAGE = 4096;
export const HUGE = 2 * 1024 * 1024;
export const HUGE_PAGES = 512;
export const RW = U.PROT_READ | U.PROT_WRITE;
export const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

/** Memory that a process shares with those it forks. */
export const SHARED = U.MAP_SHARED | U.MAP_ANONYMOUS;

/** Value of the first word of page 0 before anything happens to it; page i holds OLD + i. */
export const OLD = 100;

/** The first word of page i, as fill() writes it. */
export function word(i: number): number {
  return OLD + i;
}

/** Writes word(i) to the start of each page. */
export function* fill(c: Libc, ptr: number, npages: number): Gen<void> {
  for (let i = 0; i < npages; i++) yield* c.store32(ptr + i * PAGE, word(i));
}

/** A private anonymous buffer that is not backed by huge pages, filled if it can be written. */
export function* small_buffer(c: Libc, x: CaseContext, npages: number, prot = RW): Gen<HmmBuffer> {
  const b = yield* hmm_buffer_alloc(c, npages * PAGE, npages * PAGE, prot, ANON, -1);
  if (b === null) {
    x.check(false, 'no memory for a buffer');
    throw new Error('unreachable');
  }
  yield* c.madvise(b.ptr, npages * PAGE, U.MADV_NOHUGEPAGE);
  if (prot & U.PROT_WRITE) yield* fill(c, b.ptr, npages);
  return b;
}

/** A filled buffer of one huge page. */
export function* huge_buffer(c: Libc, x: CaseContext): Gen<HmmBuffer> {
  const b = yield* hmm_buffer_alloc(c, 2 * HUGE, HUGE, RW, ANON, -1);
  if (b === null) {
    x.check(false, 'no memory for a buffer');
    throw new Error('unreachable');
  }
  b.ptr = Math.ceil(b.ptr / HUGE) * HUGE;
  yield* c.madvise(b.ptr, HUGE, U.MADV_HUGEPAGE);
  yield* fill(c, b.ptr, HUGE_PAGES);
  return b;
}

function* anonymous(c: Libc, x: Checks, npages: number): Gen<number> {
  const ptr = yield* c.mmap(U.NULL, npages * PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
  x.check(ptr !== U.MAP_FAILED, 'mmap');
  return ptr;
}

/**
 * Private anonymous memory; the first word of page i is word(i). The CPU's LRU batches are drained, as
 * MADV_POPULATE_WRITE does, since the reference that a batch holds would keep a page alive that a race frees too early.
 */
export function* filled(c: Libc, x: Checks, npages: number): Gen<number> {
  const ptr = yield* anonymous(c, x, npages);
  yield* fill(c, ptr, npages);
  const ret = yield* c.madvise(yield* anonymous(c, x, 1), PAGE, U.MADV_POPULATE_WRITE);
  x.check(ret === 0, `MADV_POPULATE_WRITE: ${U.strerror(c.errno)}`);
  return ptr;
}

/**
 * What the first words of npages pages may be: page i holds what it held before the race, with one of `added` added to
 * it.
 */
export function olds(npages: number, added: readonly number[] = [0]): number[][] {
  return Array.from({ length: npages }, (_, i) => added.map((n) => word(i) + n));
}

/** Adds one to the first word of each of the pages listed, in that order. */
export function* increment(c: Libc, ptr: number, pages: readonly number[]): Gen<void> {
  for (const i of pages) {
    const a = ptr + i * PAGE;
    yield* c.store32(a, (yield* c.load32(a)) + 1);
  }
}

/** Makes a page one that reclaim may take (MADV_FREE). */
export function* lazily_freed(c: Libc, x: Checks, ptr: number): Gen<void> {
  // Reclaim of another page first puts what waits for it on the kernel's lists.
  const other = yield* filled(c, x, 1);
  for (const [at, advice] of [
    [other, U.MADV_PAGEOUT],
    [ptr, U.MADV_FREE],
    [other, U.MADV_PAGEOUT],
  ] as const)
    x.check((yield* c.madvise(at, PAGE, advice)) === 0, `madvise(${advice}): ${U.strerror(c.errno)}`);
}
