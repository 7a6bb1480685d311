// SPDX-License-Identifier: GPL-2.0-only
// What the cases share. Everything that a race does not need is done and touched beforehand, so that few steps are
// left.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../harness/kselftest/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import * as U from '../../harness/kselftest/uapi.ts';

/** What a helper needs of a case's context. */
export type Checks = Pick<CaseContext, 'check'>;

export const PAGE = 4096;
/** Value of the first word of page 0 before a race; page i holds OLD + i. */
export const OLD = 100;

/** A command for the driver and the memory that it reads to or writes from, both touched. */
export interface Command {
  readonly at: number;
  readonly mirror: number;
}

/** A descriptor of /dev/hmm_dmirrorN. */
export function* open_device(c: Libc, x: Checks, unit = 0): Gen<number> {
  const fd = yield* c.open(`/dev/hmm_dmirror${unit}`, U.O_RDWR);
  x.check(fd >= 0, `opening device ${unit}: ${U.strerror(c.errno)}`);
  return fd;
}

function* anonymous(c: Libc, x: Checks, npages: number): Gen<number> {
  const ptr = yield* c.mmap(U.NULL, npages * PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
  x.check(ptr !== U.MAP_FAILED, 'mmap');
  return ptr;
}

/**
 * Private anonymous memory; the first word of page i is OLD + i. The CPU's LRU batches are drained, as
 * MADV_POPULATE_WRITE does, since the reference that a batch holds would keep a page alive that a race frees too early.
 */
export function* filled(c: Libc, x: Checks, npages: number): Gen<number> {
  const ptr = yield* anonymous(c, x, npages);
  for (let i = 0; i < npages; i++) yield* c.store32(ptr + i * PAGE, OLD + i);
  expect_ret(x, yield* c.madvise(yield* anonymous(c, x, 1), PAGE, U.MADV_POPULATE_WRITE), [0], 'madvise');
  return ptr;
}

/** A command for npages pages from addr on, with a mirror of that size whose pages hold first, first + 1 and so on. */
export function* command(c: Libc, addr: number, npages: number, first = 0): Gen<Command> {
  const F = U.HMM_DMIRROR_CMD;
  const at = yield* c.malloc(F.size);
  const mirror = yield* c.malloc(npages * PAGE);
  yield* c.memset(mirror, 0, npages * PAGE);
  for (let i = 0; i < npages; i++) yield* c.store32(mirror + i * PAGE, first + i);
  yield* c.store64(at + F.addr, addr);
  yield* c.store64(at + F.ptr, mirror);
  yield* c.store64(at + F.npages, npages);
  yield* c.store64(at + F.cpages, 0);
  yield* c.store64(at + F.faults, 0);
  return { at, mirror };
}

/** Gives the driver a command: 0 or -errno. */
export function* dmirror(c: Libc, fd: number, request: number, cmd: Command): Gen<number> {
  return (yield* c.ioctl(fd, request, cmd.at)) === 0 ? 0 : -c.errno;
}

/** Moves npages pages to the device and says so if they did not all go. */
export function* to_device(c: Libc, x: Checks, fd: number, ptr: number, npages: number): Gen<void> {
  const cmd = yield* command(c, ptr, npages);
  const ret = yield* dmirror(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd);
  x.check(
    ret === 0 && (yield* c.load64(cmd.at + U.HMM_DMIRROR_CMD.cpages)) === npages,
    `migrating to the device beforehand: ${ret}`,
  );
}

/** Makes the pages of a command exclusive to the device. */
export function* to_exclusive(c: Libc, x: Checks, fd: number, cmd: Command): Gen<void> {
  expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd), [0], 'EXCLUSIVE beforehand');
}

/** A mirror, npages pages of memory, and a command for them with a mirror as command() makes it. */
export function* in_memory(
  c: Libc,
  x: Checks,
  npages: number,
  first = 0,
): Gen<{ fd: number; ptr: number; cmd: Command }> {
  const fd = yield* open_device(c, x);
  const ptr = yield* filled(c, x, npages);
  const cmd = yield* command(c, ptr, npages, first);
  return { fd, ptr, cmd };
}

/** A mirror and npages pages that were migrated to its device. */
export function* on_device(c: Libc, x: Checks, npages: number): Gen<{ fd: number; ptr: number }> {
  const fd = yield* open_device(c, x);
  const ptr = yield* filled(c, x, npages);
  yield* to_device(c, x, fd, ptr, npages);
  return { fd, ptr };
}

/** Mirrors of two devices, two pages of memory, and a command for each device. */
export function* two_devices(
  c: Libc,
  x: Checks,
): Gen<{ fds: [number, number]; ptr: number; cmds: [Command, Command] }> {
  const fds: [number, number] = [yield* open_device(c, x), yield* open_device(c, x, 1)];
  const ptr = yield* filled(c, x, 2);
  return { fds, ptr, cmds: [yield* command(c, ptr, 2), yield* command(c, ptr, 2)] };
}

/**
 * What the first words of npages pages may be: page i holds what it held before the race, with one of `added` added to
 * it.
 */
export function olds(npages: number, added: readonly number[] = [0]): number[][] {
  return Array.from({ length: npages }, (_, i) => added.map((n) => OLD + i + n));
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

/** Checks a returned value against those that some interleaving may lead to. */
export function expect_ret(x: Checks, ret: number, allowed: readonly number[], what: string): void {
  x.check(allowed.includes(ret), `${what} answered ${ret}, expected ${allowed.join(' or ')}`);
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

/** The words of the page at ptr that storing_words() stored are all there. */
export function* expect_stores(c: Libc, x: Checks, ptr: number, words: readonly number[]): Gen<void> {
  for (const n of words) {
    const v = yield* c.load32(ptr + 4 * n);
    x.check(v === n, `word ${n} holds ${v}: a store was lost`);
  }
}

/** An address where nothing may be mapped any more since the call named. */
export function* expect_gone(c: Libc, x: Checks, addr: number, call: string): Gen<void> {
  x.check((yield* try_load(c, x, addr)) === 'SIGSEGV', `memory can be read after ${call}`);
}

/** Adds one to the first word of each of the pages listed, in that order. */
export function* increment(c: Libc, ptr: number, pages: readonly number[]): Gen<void> {
  for (const i of pages) {
    const a = ptr + i * PAGE;
    yield* c.store32(a, (yield* c.load32(a)) + 1);
  }
}

/**
 * After a race the device and the CPU must see the same memory: what the CPU writes the device reads, and the other way
 * round. A device page table that still names a page from before shows here: what was freed goes to someone else first.
 */
export function* expect_coherent(c: Libc, x: Checks, fd: number, ptr: number, npages: number): Gen<void> {
  yield* filled(c, x, 2 * npages);
  for (let i = 0; i < npages; i++) yield* c.store32(ptr + i * PAGE, 900 + i);
  for (let i = 0; i < npages; i++) {
    const cmd = yield* command(c, ptr + i * PAGE, 1);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_READ, cmd), [0], 'a device read after the race');
    yield* expect_word(c, x, cmd.mirror, 0, [900 + i], `the device, reading page ${i} after the CPU wrote it`);
  }
  for (let i = 0; i < npages; i++) {
    const cmd = yield* command(c, ptr + i * PAGE, 1, 950 + i);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_WRITE, cmd), [0], 'a device write after the race');
    yield* expect_word(c, x, ptr, i, [950 + i], 'the CPU, after the device wrote');
  }
}

/** No page of the range may still be the device's alone once the CPU touched them all. */
export function* expect_not_exclusive(c: Libc, x: Checks, fd: number, ptr: number, npages: number): Gen<void> {
  const cmd = yield* command(c, ptr, npages);
  expect_ret(
    x,
    yield* dmirror(c, fd, U.HMM_DMIRROR_CHECK_EXCLUSIVE, cmd),
    [0],
    'CHECK_EXCLUSIVE after the CPU touched all pages',
  );
}

/** How most races end: the pages at ptr hold `values`, the device sees them too, and its mirror is closed. */
export function* expect_end(
  c: Libc,
  x: Checks,
  fd: number,
  ptr: number,
  values: readonly (readonly number[])[],
): Gen<void> {
  yield* expect_words(c, x, ptr, values, 'in the end');
  yield* expect_coherent(c, x, fd, ptr, values.length);
  yield* c.close(fd);
}

/** The same for the two pages and mirrors of two_devices(), once the pages have been looked at. */
export function* expect_both_coherent(c: Libc, x: Checks, fds: readonly number[], ptr: number): Gen<void> {
  for (const fd of fds) yield* expect_coherent(c, x, fd, ptr, 2);
  for (const fd of fds) yield* c.close(fd);
}

/** A child that does nothing until open_gate(): so that it can be looked at what it has without being raced with. */
export interface Gate {
  readonly fd: number;
  readonly buf: number;
  pid: number;
}

/** A gate that is shut. */
export function* shut_gate(c: Libc, x: Checks): Gen<Gate> {
  const fd = yield* c.eventfd(0, U.EFD_CLOEXEC);
  x.check(fd >= 0, 'eventfd');
  const buf = yield* c.malloc(8);
  yield* c.store64(buf, 1);
  return { fd, buf, pid: 0 };
}

/** Forks; the child waits behind the gate before it does anything. */
export function* fork_behind(t: Libc, x: Checks, gate: Gate, child: (c: Libc) => Gen<void>): Gen<void> {
  gate.pid = yield* t.fork(function* (c) {
    yield* c.read(gate.fd, gate.buf, 8);
    yield* child(c);
  });
  x.check(gate.pid > 0, `fork: ${U.strerror(t.errno)}`);
}

/** Lets the child go on and waits until it is done. */
export function* open_gate(c: Libc, x: Checks, gate: Gate): Gen<void> {
  yield* c.write(gate.fd, gate.buf, 8);
  const { status } = yield* c.waitpid(gate.pid);
  x.check(status === 0, `the child ended with wait status ${status}`);
  yield* c.close(gate.fd);
}

/** What the child of a process finds that stores 7 to page 0 and then 8 to page 1: a state that was, which it keeps. */
export function* expect_state_that_was(child: Libc, x: Checks, ptr: number): Gen<void> {
  const second = yield* expect_word(child, x, ptr, 1, [OLD + 1, 8], 'the child');
  const first = yield* expect_word(child, x, ptr, 0, [OLD, 7], 'the child');
  x.check(second !== 8 || first === 7, 'the child has the later store and not the earlier one');
  yield* expect_word(child, x, ptr, 1, [second], 'the child, once more');
}
