// SPDX-License-Identifier: GPL-2.0-only
// What regression cases share: buffers with known contents, commands to a mirror device, and the machine with coherent memory.

import type { CaseContext } from '../harness/explore/engine.ts';
import type { Libc } from '../harness/libc.ts';
import type { Gen } from '../lib/kernel/gen.ts';
import type { HmmBuffer } from './hmm-tests/buffer.ts';
import { hmm_buffer_alloc, hmm_dmirror_cmd } from './hmm-tests/buffer.ts';
import * as U from './hmm-tests/uapi.ts';

export const PAGE = 4096;
export const HUGE = 2 * 1024 * 1024;
export const HUGE_PAGES = 512;
export const RW = U.PROT_READ | U.PROT_WRITE;
export const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

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
export function* must(c: Libc, x: CaseContext, fd: number, request: number, b: HmmBuffer, npages: number, what: string): Gen<void> {
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

/** Two kinds of value in a message. */
export function hex(v: number): string {
  return `0x${v.toString(16)}`;
}
