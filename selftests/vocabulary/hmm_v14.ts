// SPDX-License-Identifier: GPL-2.0-only
// The device of HMM v14.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import * as U from '../../lib/user/uapi.ts';

// Numbers of lib/series/hmm_v14/driver.ts.
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
