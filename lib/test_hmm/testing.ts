// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load64, user_load8, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import { boot } from '../boot.ts';
import type { Machine } from '../machine.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open } from '../fs/open.ts';
import type { Gen } from '../kernel/gen.ts';
import { load_module } from '../kernel/module.ts';
import { type Asserts, run_clean } from '../kernel/testing.ts';

// Layout of the process and number of the ioctl, declared again: nothing here is taken from uapi.ts.
const [PAGE, RW, PRIVATE_ANON_FIXED, O_RDWR, SNAPSHOT] = [4096, 3, 0x32, 2, 0xc0284804];
/** Addresses of buffer, mirror and command in the process of run_dmirror(). */
export const [BUF, MIRROR, CMD] = [0x200000000, 0x210000000, 0x220000000];

/**
 * Runs a process with a device, buffers at fixed addresses and words in the first `filled` pages of BUF. NON-KERNEL.
 */
export function run_dmirror(t: Asserts, filled: number, body: (m: Machine, fd: number) => Gen<void>): void {
  run_clean(t, boot({ mem: 128 * 1024 * 1024, thp: 'never' }), function* (m) {
    t.equal(yield* load_module(m, 'test_hmm'), 0);
    for (const [at, n] of [
      [BUF, 80],
      [MIRROR, 80],
      [CMD, 1],
    ])
      yield* sys_mmap(m, at, n * PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    for (let i = 0; i < filled; i++) yield* user_store32(m, BUF + i * PAGE, 100 + i);
    yield* body(m, yield* do_sys_open(m, '/dev/hmm_dmirror0', O_RDWR, 0));
  });
}

/** Runs an ioctl and returns its result; cpages and faults stay in the structure. NON-KERNEL. */
export function* dev(
  m: Machine,
  fd: number,
  command: number,
  npages: number,
  addr = BUF,
  cmd = CMD,
  mirror = MIRROR,
): Gen<number> {
  yield* user_store64(m, cmd, addr);
  yield* user_store64(m, cmd + 8, mirror);
  yield* user_store64(m, cmd + 16, npages);
  return yield* sys_ioctl(m, fd, command, cmd);
}

/** Returns cpages and faults of the last successful command. NON-KERNEL. */
export function* counts(m: Machine): Gen<number[]> {
  return [yield* user_load64(m, CMD + 24), yield* user_load64(m, CMD + 32)];
}

/** Returns the bytes of a snapshot of npages pages. NON-KERNEL. */
export function* snapshot(t: Asserts, m: Machine, fd: number, npages: number, addr = BUF): Gen<number[]> {
  t.equal(yield* dev(m, fd, SNAPSHOT, npages, addr), 0);
  return yield* load_bytes(m, MIRROR, npages);
}

/** Returns n bytes of the process's memory. NON-KERNEL. */
export function* load_bytes(m: Machine, at: number, n: number): Gen<number[]> {
  const found: number[] = [];
  for (let i = 0; i < n; i++) found.push(yield* user_load8(m, at + i));
  return found;
}
