// SPDX-License-Identifier: GPL-2.0-only
// Shared parts of the tests: data of the fixtures, the driver's descriptor, buffers with a mirror, loops over their
// words.

import type { TestArgs, TestMeta } from '../../harness/kselftest/kselftest_harness.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import * as U from './uapi.ts';

export const HMM_PRIVATE_DEVICE_ONE = 0;
export const HMM_PRIVATE_DEVICE_TWO = 1;
export const HMM_COHERENCE_DEVICE_ONE = 2;
export const HMM_COHERENCE_DEVICE_TWO = 3;

export const TWOMEG = 1 << 21;
export const HMM_BUFFER_SIZE = 1024 << 12;
export const NTIMES = 10;
/** sizeof(int). */
export const INT = 4;
const SIZEOF_HMM_BUFFER = 48;

export interface HmmSelf {
  fd: number;
  page_size: number;
  page_shift: number;
}

export interface Hmm2Self {
  fd0: number;
  fd1: number;
  page_size: number;
  page_shift: number;
}

export interface HmmVariant {
  device_number: number;
}

export interface Hmm2Variant {
  device_number0: number;
  device_number1: number;
}

/** Arguments of a test of the fixture. */
export type Hmm = TestArgs<HmmSelf, HmmVariant>;
export type Hmm2 = TestArgs<Hmm2Self, Hmm2Variant>;

/** struct hmm_buffer; `addr` is its address from malloc(), the fields are the program's variables. */
export interface HmmBuffer {
  readonly addr: number;
  ptr: number;
  mirror: number;
  size: number;
  fd: number;
  cpages: number;
  faults: number;
}

/** Rounds x up to a multiple of a, for sizes and addresses; uses no bit operator. */
export function ALIGN(x: number, a: number): number {
  return Math.ceil(x / a) * a;
}

/** A C `unsigned long` as the harness prints it: a negative number wraps at 2^64. */
function ulong(x: number): number | bigint {
  return x < 0 ? BigInt.asUintN(64, BigInt(x)) : x;
}

/** Returns the address that a test compares with NULL. */
function address(buffer: HmmBuffer | null): number {
  return buffer === null ? U.NULL : buffer.addr;
}

/** perror(3). */
export function perror(c: Libc, what: string): void {
  c.print(`${what}: ${U.strerror(c.errno)}\n`);
}

/** Returns a descriptor of mirror device `unit`, or -1. */
export function* hmm_open(c: Libc, unit: number): Gen<number> {
  const pathname = `/dev/hmm_dmirror${unit}`;
  const fd = yield* c.open(pathname, U.O_RDWR, 0);
  if (fd < 0) c.print(`could not open hmm dmirror driver (${pathname})\n`);
  return fd;
}

/** Returns true for devices whose memory the CPU can access. */
export function hmm_is_coherent_type(dev_num: number): boolean {
  return dev_num >= HMM_COHERENCE_DEVICE_ONE;
}

/** Runs a driver command on the buffer. Returns 0 with cpages and faults set, or a negative errno. */
export function* hmm_dmirror_cmd(c: Libc, fd: number, request: number, buffer: HmmBuffer, npages: number): Gen<number> {
  const F = U.HMM_DMIRROR_CMD;
  const cmd = yield* c.malloc(F.size);
  yield* c.store64(cmd + F.addr, buffer.ptr);
  yield* c.store64(cmd + F.ptr, buffer.mirror);
  yield* c.store64(cmd + F.npages, npages);
  while ((yield* c.ioctl(fd, request, cmd)) !== 0) {
    if (c.errno === U.EINTR) continue;
    const err = c.errno;
    yield* c.free(cmd);
    return -err;
  }
  buffer.cpages = yield* c.load64(cmd + F.cpages);
  buffer.faults = yield* c.load64(cmd + F.faults);
  yield* c.free(cmd);
  return 0;
}

/** Migrates the buffer's pages to the device that fd stands for. */
export function* hmm_migrate_sys_to_dev(c: Libc, fd: number, buffer: HmmBuffer, npages: number): Gen<number> {
  return yield* hmm_dmirror_cmd(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, buffer, npages);
}

/** Migrates the buffer's pages back to system memory. */
export function* hmm_migrate_dev_to_sys(c: Libc, fd: number, buffer: HmmBuffer, npages: number): Gen<number> {
  return yield* hmm_dmirror_cmd(c, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, buffer, npages);
}

/** Unmaps and frees a buffer; ptr is NULL if it is already unmapped. */
export function* hmm_buffer_free(c: Libc, buffer: HmmBuffer | null): Gen<void> {
  if (buffer === null) return;
  if (buffer.ptr !== U.NULL) {
    yield* c.munmap(buffer.ptr, buffer.size);
    buffer.ptr = U.NULL;
  }
  yield* c.free(buffer.mirror);
  yield* c.free(buffer.addr);
}

/**
 * Maps mmap_size bytes and allocates a mirror of mirror_size bytes. Returns null with a message, and leaks nothing, if
 * there is no memory.
 */
export function* hmm_buffer_alloc(
  c: Libc,
  mmap_size: number,
  mirror_size: number,
  prot: number,
  flags: number,
  fd: number,
): Gen<HmmBuffer | null> {
  const addr = yield* c.malloc(SIZEOF_HMM_BUFFER);
  if (addr === U.NULL) {
    perror(c, 'malloc buffer');
    return null;
  }
  const mirror = yield* c.malloc(mirror_size);
  if (mirror === U.NULL) {
    perror(c, 'malloc mirror');
    yield* c.free(addr);
    return null;
  }
  const ptr = yield* c.mmap(U.NULL, mmap_size, prot, flags, fd, 0);
  if (ptr === U.MAP_FAILED) {
    perror(c, 'mmap');
    yield* c.free(mirror);
    yield* c.free(addr);
    return null;
  }
  return { addr, ptr, mirror, size: mmap_size, fd, cpages: 0, faults: 0 };
}

/** Calls hmm_buffer_alloc() with the assertion that follows it in almost every test. */
export function* hmm_buffer(
  { c, t }: { c: Libc; t: TestMeta },
  mmap_size: number,
  mirror_size: number,
  prot: number,
  flags: number,
  fd = -1,
): Gen<HmmBuffer> {
  const buffer = yield* hmm_buffer_alloc(c, mmap_size, mirror_size, prot, flags, fd);
  t.ASSERT_NE(address(buffer), U.NULL, 'buffer', 'NULL');
  return buffer as HmmBuffer;
}

/** Returns the number of pages of the usual 4 MiB buffer. */
export function buffer_npages({ self, t }: { self: { page_size: number; page_shift: number }; t: TestMeta }): number {
  const npages = ALIGN(HMM_BUFFER_SIZE, self.page_size) >> self.page_shift;
  t.ASSERT_NE(npages, 0, 'npages', '0');
  return npages;
}

/** Creates an unnamed file of `size` bytes below /tmp. Returns its descriptor or -1. */
export function* hmm_create_file(c: Libc, size: number): Gen<number> {
  const fd = yield* c.open('/tmp', U.O_TMPFILE | U.O_EXCL | U.O_RDWR, 0o600);
  if (fd < 0) return -1;
  let r;
  do {
    r = yield* c.ftruncate(fd, size);
  } while (r === -1 && c.errno === U.EINTR);
  if (r === 0) return fd;
  yield* c.close(fd);
  return -1;
}

/** Stores ptr[i] = sign * i + add for from <= i < to. */
export function* fill_ints(c: Libc, ptr: number, from: number, to: number, sign = 1, add = 0): Gen<void> {
  yield* c.store32_seq(ptr + from * INT, to - from, sign * from + add, sign);
}

/** Both sides of an assertion on `ptr[i]`: the first pair that differs, else a pair that agrees. */
type Pair = [expected: number | bigint, seen: number | bigint];

/** Reads ptr[i], an int, for from <= i < to in order and stops at the first that is not sign * i + add. */
export function* ints(c: Libc, ptr: number, from: number, to: number, sign = 1, add = 0): Gen<Pair> {
  const i = from + (yield* c.find32_seq(ptr + from * INT, to - from, sign * from + add, sign));
  if (i >= to) return [0, 0];
  return [(yield* c.load32(ptr + i * INT)) | 0, ulong(sign * i + add)];
}

/** ints() for an assertion against the int constant 0. */
export function* zero_ints(c: Libc, ptr: number, from: number, to: number): Gen<Pair> {
  return yield* ints(c, ptr, from, to, 0, 0);
}

/** Reads ptr[i] and increments it for 0 <= i < to in order; stops after the first that was not i. */
export function* ints_increment(c: Libc, ptr: number, to: number): Gen<Pair> {
  let a = ptr;
  for (let i = 0; i < to; ++i, a += INT) {
    const v = (c.tlb_load32(a) ?? (yield* c.load32(a))) | 0;
    if (!c.tlb_store32(a, v + 1)) yield* c.store32(a, v + 1);
    if (v !== i) return [v, i];
  }
  return [0, 0];
}
