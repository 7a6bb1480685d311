// SPDX-License-Identifier: GPL-2.0-only
// Small drivers that cases load: who selects what, a page by its pfn, blocks of device memory, reaping; and gup_test.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { HmmBuffer } from '../hmm-tests/buffer.ts';
import { PAGE } from './memory.ts';
import * as U from '../../lib/user/uapi.ts';

// Numbers of lib/drivers/select_driver.ts.
export const SELECT_SYSTEM = 1;
export const SELECT_DEVICE_PRIVATE = 2;
export const SELECT_DEVICE_COHERENT = 4;
const SELECT_CMD = { size: 32, addr: 0, npages: 8, ptr: 16, flags: 24, owner: 28 } as const;

/**
 * Which of the buffer's pages a migration with these flags selects: 's' one that is, '0' an empty place that is, '-'
 * one that is not. `owner` is a device's number, or null.
 */
export function* selected(
  c: Libc,
  x: CaseContext,
  b: HmmBuffer,
  npages: number,
  flags: number,
  owner: number | null,
): Gen<string> {
  yield* x.modprobe('select_driver');
  const fd = yield* c.open('/dev/select', U.O_RDWR);
  const cmd = yield* c.malloc(SELECT_CMD.size);
  yield* c.store64(cmd + SELECT_CMD.addr, b.ptr);
  yield* c.store64(cmd + SELECT_CMD.npages, npages);
  yield* c.store64(cmd + SELECT_CMD.ptr, b.mirror);
  yield* c.store32(cmd + SELECT_CMD.flags, flags);
  yield* c.store32(cmd + SELECT_CMD.owner, owner === null ? 0 : owner + 1);
  const ret = yield* c.ioctl(fd, 0, cmd);
  x.check(ret === 0, `asking what is selected ended with errno ${c.errno}`);
  let text = '';
  for (let i = 0; i < npages; i++) text += '--0s'[yield* c.load8(b.mirror + i)];
  yield* c.close(fd);
  return text;
}

const PIN_LONGTERM_TEST = { size: 24, addr: 0, len: 8, flags: 16 } as const;
const PIN_LONGTERM_TEST_START = 0x4018_6707;
const PIN_LONGTERM_TEST_STOP = 0x6708;
export const PIN_WRITE = 1;
export const PIN_FAST = 2;

/** Pins pages of the buffer for long (`flags`: PIN_*): 0 or -errno. They stay pinned until unpin_longterm(). */
export function* pin_longterm(c: Libc, gup: number, b: HmmBuffer, npages: number, flags: number): Gen<number> {
  const arg = yield* c.malloc(PIN_LONGTERM_TEST.size);
  yield* c.store64(arg + PIN_LONGTERM_TEST.addr, b.ptr);
  yield* c.store64(arg + PIN_LONGTERM_TEST.len, npages * PAGE);
  yield* c.store64(arg + PIN_LONGTERM_TEST.flags, flags);
  return (yield* c.ioctl(gup, PIN_LONGTERM_TEST_START, arg)) === 0 ? 0 : -c.errno;
}

/** Gives back what pin_longterm() pinned. */
export function* unpin_longterm(c: Libc, gup: number): Gen<void> {
  yield* c.ioctl(gup, PIN_LONGTERM_TEST_STOP, 0);
}

// Numbers of lib/drivers/pfn_driver.ts.
const PFN_REMEMBER = 0;
export const PFN_MIGRATE = 1;
export const PFN_LOOK = 3;

/**
 * What PFN_LOOK says of a page that reclaim can unmap: it is mapped, an entry for it is found, and it is on an LRU list
 * that reclaim goes through.
 */
export const RECLAIMABLE = 1 + 2 + 4;

/** A descriptor of /dev/pfn that remembers the page at the address. */
export function* open_pfn(c: Libc, x: CaseContext, addr: number): Gen<number> {
  yield* x.modprobe('pfn_driver');
  const fd = yield* c.open('/dev/pfn', U.O_RDWR);
  x.check((yield* c.ioctl(fd, PFN_REMEMBER, addr)) === 0, `there is no page: errno ${c.errno}`);
  return fd;
}

// Numbers of lib/drivers/block_driver.ts.
export const BLOCK_TO_DEVICE = 0;
export const BLOCK_TO_SYSTEM = 1;
export const BLOCK_TO_GENERIC = 3;
const BLOCK_CMD = { size: 24, addr: 0, npages: 8, order: 16, cpages: 20 } as const;

/** A descriptor of /dev/block, with its module loaded. */
export function* open_block(c: Libc, x: CaseContext): Gen<number> {
  yield* x.modprobe('block_driver');
  const fd = yield* c.open('/dev/block', U.O_RDWR);
  x.check(fd >= 0, `/dev/block cannot be opened: errno ${c.errno}`);
  return fd;
}

/**
 * A command to /dev/block over npages of the buffer, as single pages or, with order 9, as a huge page: 0 or -errno, and
 * cpages.
 */
export function* block_command(
  c: Libc,
  fd: number,
  request: number,
  b: HmmBuffer,
  npages: number,
  order = 0,
): Gen<{ ret: number; cpages: number }> {
  const cmd = yield* c.malloc(BLOCK_CMD.size);
  yield* c.store64(cmd + BLOCK_CMD.addr, b.ptr);
  yield* c.store64(cmd + BLOCK_CMD.npages, npages);
  yield* c.store32(cmd + BLOCK_CMD.order, order);
  const ret = (yield* c.ioctl(fd, request, cmd)) === 0 ? 0 : -c.errno;
  return { ret, cpages: yield* c.load32(cmd + BLOCK_CMD.cpages) };
}

/** Kills a process and takes its memory before it can go, by process_mrelease(2). */
export function* kill_and_reap(c: Libc, x: CaseContext, pid: number): Gen<void> {
  yield* x.modprobe('mrelease_driver');
  const fd = yield* c.open('/dev/mrelease', U.O_RDWR);
  const pidfd = yield* c.pidfd_open(pid, 0);
  yield* c.kill(pid, U.SIGKILL);
  x.check((yield* c.ioctl(fd, 0, pidfd)) === 0, `process_mrelease() ended with errno ${c.errno}`);
}
