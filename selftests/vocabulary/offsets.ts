// SPDX-License-Identifier: GPL-2.0-only
// Device memory outside of the physical address space, and the device whose user chooses offsets in it.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import * as U from '../../lib/user/uapi.ts';

/** The kernel with seed 000's series. */
export const OFFSETS = ['device-private-offsets'] as const;

// Numbers of lib/drivers/offset_driver.ts.
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
