// SPDX-License-Identifier: GPL-2.0-only
// The ioctls of January 2022, when coherent memory was new.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { HmmBuffer } from '../hmm-tests/buffer.ts';
import { command } from './mirror.ts';
import * as U from '../../lib/user/uapi.ts';

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
