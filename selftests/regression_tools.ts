// SPDX-License-Identifier: GPL-2.0-only
// What regression cases share: buffers with known contents, commands to a mirror device, and the machine with coherent
// memory.

import type { CaseContext, Racer } from '../harness/explore/engine.ts';
import type { Libc } from '../harness/kselftest/libc.ts';
import type { Gen } from '../lib/kernel/gen.ts';
import { hmm_buffer_alloc, hmm_dmirror_cmd, type HmmBuffer } from './hmm-tests/buffer.ts';
import { thread } from './races/racers.ts';
import * as U from './hmm-tests/uapi.ts';

export const PAGE = 4096;
export const HUGE = 2 * 1024 * 1024;
export const HUGE_PAGES = 512;
export const RW = U.PROT_READ | U.PROT_WRITE;
export const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;
export const MADV_DONTNEED = 4;

const SPM0 = 0x4000_0000;
const CHUNK = 256 * 1024 * 1024;

/** A machine with room for both coherent devices at 1 GiB. */
export const coherent_config = { mem: 2048 * 1024 * 1024, reserved: [{ start: SPM0, size: 2 * CHUNK }] };
/** What test_hmm is loaded with to have them. */
export const coherent_params = { spm_addr_dev0: SPM0, spm_addr_dev1: SPM0 + CHUNK };

/** The word that page i of a buffer starts with. */
export function word(i: number): number {
  return 0x1000 + i;
}

/** A descriptor of mirror device n. */
export function* open_device(c: Libc, x: CaseContext, n: number): Gen<number> {
  const fd = yield* c.open(`/dev/hmm_dmirror${n}`, U.O_RDWR);
  x.check(fd >= 0, `device ${n} cannot be opened: errno ${c.errno}`);
  return fd;
}

/** Writes word(i) to the start of each page. */
export function* fill(c: Libc, b: HmmBuffer, npages: number): Gen<void> {
  for (let i = 0; i < npages; i++) yield* c.store32(b.ptr + i * PAGE, word(i));
}

/** A private anonymous buffer that is not backed by huge pages, filled if it can be written. */
export function* small_buffer(c: Libc, x: CaseContext, npages: number, prot = RW): Gen<HmmBuffer> {
  const b = yield* hmm_buffer_alloc(c, npages * PAGE, npages * PAGE, prot, ANON, -1);
  if (b === null) {
    x.check(false, 'no memory for a buffer');
    throw new Error('unreachable');
  }
  yield* c.madvise(b.ptr, npages * PAGE, U.MADV_NOHUGEPAGE);
  if (prot & U.PROT_WRITE) yield* fill(c, b, npages);
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
  yield* fill(c, b, HUGE_PAGES);
  return b;
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

/** The CPU finds in these pages of the buffer what fill() wrote there. */
export function* expect_kept(c: Libc, x: CaseContext, b: HmmBuffer, pages: readonly number[] = [0]): Gen<void> {
  for (const i of pages) x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} has lost its contents`);
}

/** A racer that migrates the first page of the buffer to the device, where there may be none any more. */
export function migrating_a_page(x: CaseContext, fd: number, b: HmmBuffer): Racer {
  return thread('migrate', function* (t) {
    const ret = yield* command(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1);
    x.check(ret === 0 || ret === -U.ENOENT, `migrating to the device ended with ${ret}`);
  });
}

/** A racer that gives the page at an address up by madvise(). */
export function giving_up(addr: number, name = 'madvise'): Racer {
  return thread(name, function* (t) {
    yield* t.madvise(addr, PAGE, MADV_DONTNEED);
  });
}

/** What HMM_DMIRROR_SNAPSHOT says of each page, or -errno. */
export function* snapshot(c: Libc, fd: number, b: HmmBuffer, npages: number, at = 0): Gen<number[] | number> {
  const ret = yield* command(c, fd, U.HMM_DMIRROR_SNAPSHOT, b, npages, at);
  if (ret !== 0) return ret;
  const bytes: number[] = [];
  for (let i = 0; i < npages; i++) bytes.push(yield* c.load8(b.mirror + i));
  return bytes;
}

/** Two kinds of value in a message. */
export function hex(v: number): string {
  return `0x${v.toString(16)}`;
}

// Numbers of lib/patches/select_driver.ts.
export const SELECT_SYSTEM = 1;
export const SELECT_DEVICE_PRIVATE = 2;
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

/** Something that one process waits for and another one brings about. */
interface Event {
  readonly fd: number;
  readonly buf: number;
}

/** An event that has not happened yet. */
export function* new_event(c: Libc, x: CaseContext): Gen<Event> {
  const fd = yield* c.eventfd(0, U.EFD_CLOEXEC);
  x.check(fd >= 0, `no eventfd: errno ${c.errno}`);
  const buf = yield* c.malloc(8);
  yield* c.store64(buf, 1);
  return { fd, buf };
}

/** Makes the event happen. */
export function* happen(c: Libc, e: Event): Gen<void> {
  yield* c.write(e.fd, e.buf, 8);
}

/** Sleeps until the event has happened. */
export function* wait_for(c: Libc, e: Event): Gen<void> {
  yield* c.read(e.fd, e.buf, 8);
}

export const SELECT_DEVICE_COHERENT = 4;

/** struct hmm_dmirror_cmd of January 2022 has a sixth u64, which its ioctl numbers show. */
const CMD_V3 = { ...U.HMM_DMIRROR_CMD, size: 48, zone_device_type: 40 } as const;
const GET_MEM_DEV_TYPE = 0xc030_4807;
/** What to add to a number of today's for one of then. */
const TO_V3 = (CMD_V3.size - U.HMM_DMIRROR_CMD.size) * 2 ** 16;

/**
 * The type of the mirror's memory (1 private, 2 coherent) by the ioctl of January 2022, or -errno where that does not
 * exist.
 */
export function* zone_device_type(c: Libc, fd: number): Gen<number> {
  const cmd = yield* c.malloc(CMD_V3.size);
  yield* c.memset(cmd, 0, CMD_V3.size);
  yield* c.store64(cmd + CMD_V3.npages, 1);
  const ret = yield* c.ioctl(fd, GET_MEM_DEV_TYPE, cmd);
  const type = ret === 0 ? yield* c.load64(cmd + CMD_V3.zone_device_type) : -c.errno;
  yield* c.free(cmd);
  return type;
}

/** command() for a driver with today's ioctls or with those of January 2022. */
function* command_of_either(c: Libc, fd: number, request: number, b: HmmBuffer, npages: number): Gen<number> {
  if ((yield* zone_device_type(c, fd)) < 0) return yield* command(c, fd, request, b, npages);
  const cmd = yield* c.malloc(CMD_V3.size);
  yield* c.memset(cmd, 0, CMD_V3.size);
  yield* c.store64(cmd + CMD_V3.addr, b.ptr);
  yield* c.store64(cmd + CMD_V3.ptr, b.mirror);
  yield* c.store64(cmd + CMD_V3.npages, npages);
  const ret = yield* c.ioctl(fd, request + TO_V3, cmd);
  b.cpages = yield* c.load64(cmd + CMD_V3.cpages);
  b.faults = yield* c.load64(cmd + CMD_V3.faults);
  yield* c.free(cmd);
  return ret === 0 ? 0 : -c.errno;
}

/** must() for a driver with today's ioctls or with those of January 2022. */
export function* must_either(
  c: Libc,
  x: CaseContext,
  fd: number,
  request: number,
  b: HmmBuffer,
  npages: number,
  what: string,
): Gen<void> {
  const ret = yield* command_of_either(c, fd, request, b, npages);
  x.check(ret === 0, `${what} ended with ${ret}`);
}

/** What the snapshot says of each page, by today's ioctls or those of January 2022. */
export function* snapshot_of_either(c: Libc, x: CaseContext, fd: number, b: HmmBuffer, npages: number): Gen<number[]> {
  yield* must_either(c, x, fd, U.HMM_DMIRROR_SNAPSHOT, b, npages, 'a snapshot');
  const bytes: number[] = [];
  for (let i = 0; i < npages; i++) bytes.push(yield* c.load8(b.mirror + i));
  return bytes;
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

// Numbers of lib/patches/hmm_v14_driver.ts.
export const V14_TO_DEVICE = 0;
export const V14_TO_SYSTEM = 1;
export const V14_MOVE = 13;
export const V14_READ = 3;
export const V14_HOLD = 4;
export const V14_RELEASE = 5;
export const V14_ISOLATE = 6;
export const V14_PUTBACK = 7;
export const V14_SKIP = 8;
export const V14_GRAB = 9;
export const V14_BREAK = 10;
export const V14_ACCESS = 11;
export const V14_ACCESS_WRITE = 12;
const V14_CMD = { size: 40, addr: 0, npages: 8, ptr: 16, offered: 24, cpages: 32 } as const;

/** A descriptor of the device of HMM v14, whose module is loaded for it. */
export function* open_v14(c: Libc, x: CaseContext, params: Readonly<Record<string, number>> = {}): Gen<number> {
  const loaded = yield* x.modprobe('hmm_v14', params);
  x.check(loaded === 0, `loading hmm_v14 ended with ${loaded}`);
  return yield* c.open('/dev/hmm_v14', U.O_RDWR);
}

/** A command to it over npages pages from an address on: what the struct holds then, or -errno. */
export function* v14(
  c: Libc,
  fd: number,
  request: number,
  addr: number,
  npages = 1,
  ptr = 0,
): Gen<{ offered: number; cpages: number } | number> {
  const cmd = yield* c.malloc(V14_CMD.size);
  yield* c.store64(cmd + V14_CMD.addr, addr);
  yield* c.store64(cmd + V14_CMD.npages, npages);
  yield* c.store64(cmd + V14_CMD.ptr, ptr);
  const ret = yield* c.ioctl(fd, request, cmd);
  const answer = { offered: yield* c.load64(cmd + V14_CMD.offered), cpages: yield* c.load64(cmd + V14_CMD.cpages) };
  yield* c.free(cmd);
  return ret === 0 ? answer : -c.errno;
}

/** A command that must go well. */
export function* must_v14(
  c: Libc,
  x: CaseContext,
  fd: number,
  request: number,
  addr: number,
  npages = 1,
  ptr = 0,
): Gen<{ offered: number; cpages: number }> {
  const ret = yield* v14(c, fd, request, addr, npages, ptr);
  x.check(typeof ret !== 'number', `command ${request} of hmm_v14 ended with ${typeof ret === 'number' ? ret : 0}`);
  return ret as { offered: number; cpages: number };
}

/** A migration of v14 of which so many pages must have moved. */
export function* must_move(
  c: Libc,
  x: CaseContext,
  fd: number,
  request: number,
  addr: number,
  npages: number,
  moved: number,
): Gen<void> {
  const { cpages } = yield* must_v14(c, x, fd, request, addr, npages);
  x.check(cpages === moved, `${cpages} of ${npages} pages moved, not ${moved}`);
}

/**
 * A thread reads a word at each address, with every interleaving possible: a page that cannot be had is a deadlock or a
 * livelock.
 */
export function* touch(x: CaseContext, addresses: readonly number[]): Gen<void> {
  yield* x.together([
    {
      name: 'touch the pages',
      kind: 'thread',
      run: function* (t): Gen<void> {
        for (const addr of addresses) yield* t.load32(addr);
      },
    },
  ]);
}

// Numbers of lib/patches/pfn_driver.ts.
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

/** Memory that a process shares with those it forks. */
export const SHARED = U.MAP_SHARED | U.MAP_ANONYMOUS;
/** The kernel with seed 000's series. */
export const OFFSETS = ['device-private-offsets'] as const;
// Numbers of lib/patches/offset_driver.ts.
export const OFFSET_PUT = 1;
export const OFFSET_EVICT = 5;
export const OFFSET_FIND = 3;
export const OFFSET_FLAGS = 4;

/**
 * A descriptor of the device whose user chooses offsets, whose module is loaded for it; to be loaded first, so that the
 * offsets begin at 0.
 */
export function* open_offsets(c: Libc, x: CaseContext, params: Readonly<Record<string, number>> = {}): Gen<number> {
  const loaded = yield* x.modprobe('offset_driver', params);
  x.check(loaded === 0, `loading offset_driver ended with ${loaded}`);
  return yield* c.open('/dev/offsets', U.O_RDWR);
}

/** A command to it that must go well: the number that it answers. */
export function* offsets(
  c: Libc,
  x: CaseContext,
  fd: number,
  request: number,
  addr: number,
  number: number,
): Gen<number> {
  const arg = yield* c.malloc(16);
  yield* c.store64(arg, addr);
  yield* c.store64(arg + 8, number);
  const ret = yield* c.ioctl(fd, request, arg);
  x.check(ret === 0, `command ${request} of offset_driver ended with errno ${c.errno}`);
  const answer = yield* c.load64(arg + 8);
  yield* c.free(arg);
  return answer;
}

/**
 * What /proc/self/pagemap says of the page at an address: the pfn of a present one, the type and offset of a swap
 * entry.
 */
export function* pagemap(c: Libc, addr: number): Gen<{ pfn: number } | { type: number; offset: number } | null> {
  const fd = yield* c.open('/proc/self/pagemap', U.O_RDONLY);
  const buf = yield* c.malloc(8);
  yield* c.pread(fd, buf, 8, (addr / PAGE) * 8);
  yield* c.close(fd);
  const [low, high] = [(yield* c.load32(buf)) >>> 0, (yield* c.load32(buf + 4)) >>> 0];
  yield* c.free(buf);
  const frame = (high & 0x7fffff) * 2 ** 32 + low;
  if (high >>> 31) return { pfn: frame };
  return (high >>> 30) & 1 ? { type: frame % 32, offset: Math.floor(frame / 32) } : null;
}

/** The pfn of the page at an address, which must be present. */
export function* pfn_at(c: Libc, x: CaseContext, addr: number): Gen<number> {
  const entry = yield* pagemap(c, addr);
  x.check(entry !== null && 'pfn' in entry, `no page is present at ${hex(addr)}`);
  return (entry as { pfn: number }).pfn;
}

/** A line of /proc/self/smaps in kB, of the vma that begins at the address; -1 if there is none. */
export function* smaps_kb(c: Libc, start: number, field: string): Gen<number> {
  const text = (yield* c.read_file('/proc/self/smaps')) ?? '';
  const vma = text.slice(text.indexOf(`${start.toString(16).padStart(8, '0')}-`));
  return Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(vma)?.[1] ?? -1);
}

const UFFDIO_WRITEPROTECT = { request: 0xc018aa06, size: 24, start: 0, len: 8, mode: 16 } as const;
const UFFDIO_REGISTER_MODE_WP = 2;
const UFFDIO_WRITEPROTECT_MODE_WP = 1;

/** Write-protects npages of the buffer from its start on for a userfaultfd, whose descriptor it answers. */
export function* uffd_protect(c: Libc, x: CaseContext, b: HmmBuffer, npages: number): Gen<number> {
  const uffd = yield* c.userfaultfd(U.O_CLOEXEC | U.O_NONBLOCK);
  const at = yield* c.malloc(64);
  yield* c.store64(at + U.UFFDIO_API_ARG.api, U.UFFD_API);
  yield* c.store64(at + U.UFFDIO_API_ARG.features, 0);
  x.check((yield* c.ioctl(uffd, U.UFFDIO_API, at)) === 0, `UFFDIO_API ended with errno ${c.errno}`);
  yield* c.store64(at + U.UFFDIO_REGISTER_ARG.start, b.ptr);
  yield* c.store64(at + U.UFFDIO_REGISTER_ARG.len, npages * PAGE);
  yield* c.store64(at + U.UFFDIO_REGISTER_ARG.mode, UFFDIO_REGISTER_MODE_WP);
  x.check((yield* c.ioctl(uffd, U.UFFDIO_REGISTER, at)) === 0, `UFFDIO_REGISTER ended with errno ${c.errno}`);
  yield* c.store64(at + UFFDIO_WRITEPROTECT.start, b.ptr);
  yield* c.store64(at + UFFDIO_WRITEPROTECT.len, npages * PAGE);
  yield* c.store64(at + UFFDIO_WRITEPROTECT.mode, UFFDIO_WRITEPROTECT_MODE_WP);
  x.check(
    (yield* c.ioctl(uffd, UFFDIO_WRITEPROTECT.request, at)) === 0,
    `UFFDIO_WRITEPROTECT ended with errno ${c.errno}`,
  );
  return uffd;
}

/** What /proc/self/pagemap says of bit 57 of each page: 'w' write-protected for a userfaultfd, '-' not. */
export function* uffd_protected(c: Libc, b: HmmBuffer, npages: number): Gen<string> {
  const fd = yield* c.open('/proc/self/pagemap', U.O_RDONLY);
  const at = yield* c.malloc(8);
  let text = '';
  for (let i = 0; i < npages; i++) {
    yield* c.pread(fd, at, 8, (b.ptr / PAGE + i) * 8);
    text += (yield* c.load32(at + 4)) & (1 << 25) ? 'w' : '-';
  }
  yield* c.close(fd);
  return text;
}

// Numbers of lib/patches/block_driver.ts.
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
