// SPDX-License-Identifier: GPL-2.0-only
// The mirror devices of test_hmm: commands to them, and what they and the CPU must agree on.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { hmm_dmirror_cmd, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { type Checks, expect_ret, expect_word, expect_words } from './expect.ts';
import { filled, PAGE } from './memory.ts';
import * as U from '../../lib/user/uapi.ts';

const SPM0 = 0x4000_0000;
const CHUNK = 256 * 1024 * 1024;

/** A machine with room for both coherent devices at 1 GiB. */
export const coherent_config = { mem: 2048 * 1024 * 1024, reserved: [{ start: SPM0, size: 2 * CHUNK }] };

/** What test_hmm is loaded with to have them. */
export const coherent_params = { spm_addr_dev0: SPM0, spm_addr_dev1: SPM0 + CHUNK };

/** A descriptor of mirror device /dev/hmm_dmirrorN. */
export function* open_device(c: Libc, x: Checks, unit = 0): Gen<number> {
  const fd = yield* c.open(`/dev/hmm_dmirror${unit}`, U.O_RDWR);
  x.check(fd >= 0, `opening device ${unit}: ${U.strerror(c.errno)}`);
  return fd;
}

/** A command over npages of the buffer from page `at` on: 0 or -errno. */
export function* command(c: Libc, fd: number, request: number, b: HmmBuffer, npages: number, at = 0): Gen<number> {
  const ptr = b.ptr;
  const part: HmmBuffer = { ...b, ptr: ptr + at * PAGE };
  const ret = yield* hmm_dmirror_cmd(c, fd, request, part, npages);
  b.cpages = part.cpages;
  b.faults = part.faults;
  return ret;
}

/** A command that must go well. */
export function* must(
  c: Libc,
  x: CaseContext,
  fd: number,
  request: number,
  b: HmmBuffer,
  npages: number,
  what: string,
): Gen<void> {
  const ret = yield* command(c, fd, request, b, npages);
  x.check(ret === 0, `${what} ended with ${ret}`);
}

/** The word at the start of page i of the mirror's copy. */
export function* mirrored(c: Libc, b: HmmBuffer, i: number): Gen<number> {
  return yield* c.load32(b.mirror + i * PAGE);
}

/** What HMM_DMIRROR_SNAPSHOT says of each page, or -errno. */
export function* snapshot(c: Libc, fd: number, b: HmmBuffer, npages: number, at = 0): Gen<number[] | number> {
  const ret = yield* command(c, fd, U.HMM_DMIRROR_SNAPSHOT, b, npages, at);
  if (ret !== 0) return ret;
  const bytes: number[] = [];
  for (let i = 0; i < npages; i++) bytes.push(yield* c.load8(b.mirror + i));
  return bytes;
}

/** A command that was prepared, and the memory that it reads to or writes from, both touched. */
export interface Command {
  readonly at: number;
  readonly mirror: number;
}

/** A command for npages pages from addr on, with a mirror of that size whose pages hold first, first + 1 and so on. */
export function* new_command(c: Libc, addr: number, npages: number, first = 0): Gen<Command> {
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
  const cmd = yield* new_command(c, ptr, npages);
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

/** A mirror, npages pages of memory, and a command for them with a mirror as new_command() makes it. */
export function* in_memory(
  c: Libc,
  x: Checks,
  npages: number,
  first = 0,
): Gen<{ fd: number; ptr: number; cmd: Command }> {
  const fd = yield* open_device(c, x);
  const ptr = yield* filled(c, x, npages);
  const cmd = yield* new_command(c, ptr, npages, first);
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
  return { fds, ptr, cmds: [yield* new_command(c, ptr, 2), yield* new_command(c, ptr, 2)] };
}

/**
 * After a race the device and the CPU must see the same memory: what the CPU writes the device reads, and the other way
 * round. A device page table that still names a page from before shows here: what was freed goes to someone else first.
 */
export function* expect_coherent(c: Libc, x: Checks, fd: number, ptr: number, npages: number): Gen<void> {
  yield* filled(c, x, 2 * npages);
  for (let i = 0; i < npages; i++) yield* c.store32(ptr + i * PAGE, 900 + i);
  for (let i = 0; i < npages; i++) {
    const cmd = yield* new_command(c, ptr + i * PAGE, 1);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_READ, cmd), [0], 'a device read after the race');
    yield* expect_word(c, x, cmd.mirror, 0, [900 + i], `the device, reading page ${i} after the CPU wrote it`);
  }
  for (let i = 0; i < npages; i++) {
    const cmd = yield* new_command(c, ptr + i * PAGE, 1, 950 + i);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_WRITE, cmd), [0], 'a device write after the race');
    yield* expect_word(c, x, ptr, i, [950 + i], 'the CPU, after the device wrote');
  }
}

/** No page of the range may still be the device's alone once the CPU touched them all. */
export function* expect_not_exclusive(c: Libc, x: Checks, fd: number, ptr: number, npages: number): Gen<void> {
  const cmd = yield* new_command(c, ptr, npages);
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
