// SPDX-License-Identifier: GPL-2.0-only
// Checks of what a case finds: each names who saw what, and what was expected.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { HmmBuffer } from '../hmm-tests/buffer.ts';
import { OLD, PAGE, word } from './memory.ts';
import * as U from '../../lib/user/uapi.ts';

/** What a helper needs of a case's context. */
export type Checks = Pick<CaseContext, 'check'>;

/** A number as messages show flags and addresses. */
export function hex(v: number): string {
  return `0x${v.toString(16)}`;
}

/** Checks a returned value against those that some interleaving may lead to. */
export function expect_ret(x: Checks, ret: number, allowed: readonly number[], what: string): void {
  x.check(allowed.includes(ret), `${what} answered ${ret}, expected ${allowed.join(' or ')}`);
}

/** The first word of page i of the memory at ptr, which must be one of the values given. */
export function* expect_word(
  c: Libc,
  x: Checks,
  ptr: number,
  i: number,
  allowed: readonly number[],
  who: string,
): Gen<number> {
  const v = yield* c.load32(ptr + i * PAGE);
  x.check(allowed.includes(v), `${who}: page ${i} holds ${v}, expected ${allowed.join(' or ')}`);
  return v;
}

/** The first words of the pages at ptr; `values` lists for each page what it may hold. */
export function* expect_words(
  c: Libc,
  x: Checks,
  ptr: number,
  values: readonly (readonly number[])[],
  who: string,
): Gen<void> {
  for (let i = 0; i < values.length; i++) yield* expect_word(c, x, ptr, i, values[i], who);
}

/** The CPU finds in these pages of the buffer what fill() wrote there. */
export function* expect_kept(c: Libc, x: CaseContext, b: HmmBuffer, pages: readonly number[] = [0]): Gen<void> {
  for (const i of pages) x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} has lost its contents`);
}

/** The words of the page at ptr that storing_words() stored are all there. */
export function* expect_stores(c: Libc, x: Checks, ptr: number, words: readonly number[]): Gen<void> {
  for (const n of words) {
    const v = yield* c.load32(ptr + 4 * n);
    x.check(v === n, `word ${n} holds ${v}: a store was lost`);
  }
}

/** A load that may find nothing mapped: the word, or 'SIGSEGV'. Any other signal fails the case. */
export function* try_load(c: Libc, x: Checks, addr: number): Gen<number | 'SIGSEGV'> {
  let v = 0;
  const sig = yield* c.catch_signal(function* () {
    v = yield* c.load32(addr);
  });
  x.check(sig === 0 || sig === U.SIGSEGV, `a load was ended by signal ${sig}`);
  return sig === 0 ? v : 'SIGSEGV';
}

/** An address where nothing may be mapped any more since the call named. */
export function* expect_gone(c: Libc, x: Checks, addr: number, call: string): Gen<void> {
  x.check((yield* try_load(c, x, addr)) === 'SIGSEGV', `memory can be read after ${call}`);
}

/** What the child of a process finds that stores 7 to page 0 and then 8 to page 1: a state that was, which it keeps. */
export function* expect_state_that_was(child: Libc, x: Checks, ptr: number): Gen<void> {
  const second = yield* expect_word(child, x, ptr, 1, [OLD + 1, 8], 'the child');
  const first = yield* expect_word(child, x, ptr, 0, [OLD, 7], 'the child');
  x.check(second !== 8 || first === 7, 'the child has the later store and not the earlier one');
  yield* expect_word(child, x, ptr, 1, [second], 'the child, once more');
}
