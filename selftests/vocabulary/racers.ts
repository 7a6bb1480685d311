// SPDX-License-Identifier: GPL-2.0-only
// The racers that recur: threads that do one thing and check what it answers.

import type { CaseContext, Racer } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { fork_behind, type Gate } from './events.ts';
import { type Checks, expect_ret, expect_words } from './expect.ts';
import { increment, PAGE } from './memory.ts';
import { type Command, dmirror } from './mirror.ts';
import * as U from '../../lib/user/uapi.ts';

/** A racer that is a thread of the case's process. */
export function thread(name: string, run: (t: Libc) => Gen<void>): Racer {
  return { name, kind: 'thread', run };
}

/** A racer that is a fork of the case's process. */
export function forked(name: string, run: (t: Libc) => Gen<void>): Racer {
  return { name, kind: 'process', run };
}

/**
 * What a racer that commands a mirror may be told: what the driver answers, and if that is 0 the first words that it
 * copies back.
 */
interface Answers {
  rets?: readonly number[];
  values?: readonly (readonly number[])[];
}

function commanding(
  x: Checks,
  name: string,
  what: 'READ' | 'EXCLUSIVE' | 'MIGRATE_TO_DEV' | 'MIGRATE_TO_SYS' | 'RELEASE',
  fd: number,
  cmd: Command,
  a: Answers,
): Racer {
  return thread(name, function* (t) {
    const ret = yield* dmirror(t, fd, U[`HMM_DMIRROR_${what}`], cmd);
    expect_ret(x, ret, a.rets ?? [0], what);
    if (ret === 0) yield* expect_words(t, x, cmd.mirror, a.values ?? [], `the device, after ${what}`);
  });
}

/** Reads the pages through the mirror. */
export function reading(x: Checks, fd: number, cmd: Command, a: Answers): Racer {
  return commanding(x, 'read', 'READ', fd, cmd, a);
}

/** Makes the pages exclusive to the device; -ENOENT says that another one was faster. */
export function making_exclusive(x: Checks, fd: number, cmd: Command, a: Answers = {}): Racer {
  return commanding(x, 'exclusive', 'EXCLUSIVE', fd, cmd, { rets: [0, -U.ENOENT], ...a });
}

/** Migrates the pages to the device; -ENOENT says that none could be. */
export function migrating(x: Checks, fd: number, cmd: Command, a: Answers = {}, name = 'migrate'): Racer {
  return commanding(x, name, 'MIGRATE_TO_DEV', fd, cmd, { rets: [0, -U.ENOENT], ...a });
}

/** Brings the pages back from the device. */
export function migrating_back(x: Checks, fd: number, cmd: Command): Racer {
  return commanding(x, 'migrate back', 'MIGRATE_TO_SYS', fd, cmd, {});
}

/** Takes the device's memory away. */
export function releasing(x: Checks, fd: number, cmd: Command): Racer {
  return commanding(x, 'release', 'RELEASE', fd, cmd, {});
}

/** Closes the mirror, which evicts the device's memory. */
export function closing(x: Checks, fd: number): Racer {
  return thread('close', function* (t) {
    expect_ret(x, yield* t.close(fd), [0], 'close');
  });
}

/** Adds one to the first word of each of the pages listed. */
export function incrementing(ptr: number, pages: readonly number[]): Racer {
  return thread('increment', function* (t) {
    yield* increment(t, ptr, pages);
  });
}

/** Stores a word. */
export function storing(addr: number, value: number, name = 'store'): Racer {
  return thread(name, function* (t) {
    yield* t.store32(addr, value);
  });
}

/** Threads that store n to word n of the page at ptr, one for each of `words`. */
export function storing_words(ptr: number, words: readonly number[]): Racer[] {
  return words.map((n) => storing(ptr + 4 * n, n, `store ${n}`));
}

/** Drops pages. */
export function dropping(x: Checks, ptr: number, npages: number): Racer {
  return thread('dontneed', function* (t) {
    expect_ret(x, yield* t.madvise(ptr, npages * PAGE, U.MADV_DONTNEED), [0], 'madvise');
  });
}

/** Unmaps pages. */
export function unmapping(x: Checks, ptr: number, npages: number): Racer {
  return thread('munmap', function* (t) {
    expect_ret(x, yield* t.munmap(ptr, npages * PAGE), [0], 'munmap');
  });
}

/** Makes pages read-only. */
export function protecting(x: Checks, ptr: number, npages: number): Racer {
  return thread('mprotect', function* (t) {
    expect_ret(x, yield* t.mprotect(ptr, npages * PAGE, U.PROT_READ), [0], 'mprotect');
  });
}

/** Moves pages to another address, in place of what is there. */
export function moving(x: Checks, ptr: number, npages: number, to: number): Racer {
  return thread('mremap', function* (t) {
    const ret = yield* t.mremap(ptr, npages * PAGE, npages * PAGE, U.MREMAP_MAYMOVE | U.MREMAP_FIXED, to);
    x.check(ret === to, `mremap: ${U.strerror(t.errno)}`);
  });
}

/** Forks a child that waits behind the gate. */
export function forking(x: Checks, gate: Gate, child: (c: Libc) => Gen<void>): Racer {
  return thread('fork', function* (t) {
    yield* fork_behind(t, x, gate, child);
  });
}

/**
 * A thread reads a word at each address, with every interleaving possible: a page that cannot be had is a deadlock or a
 * livelock.
 */
export function* touch(x: CaseContext, addresses: readonly number[]): Gen<void> {
  yield* x.together([
    thread('touch the pages', function* (t) {
      for (const addr of addresses) yield* t.load32(addr);
    }),
  ]);
}
