// SPDX-License-Identifier: GPL-2.0-only
// Programs of a few instructions, for unit tests. NON-KERNEL throughout.

import { audit } from '../../../audit.ts';
import { boot } from '../../../boot.ts';
import type { Machine } from '../../../machine.ts';
import { do_execve } from '../../../fs/exec.ts';
import { add_root_file } from '../../../fs/namei.ts';
import { start_process } from '../../../kernel/exec.ts';
import { wait_status } from '../../../kernel/exit.ts';
import { ret_from_fork } from '../entry/user_entry.ts';
import { UserCpu } from '../user/cpu.ts';
import { UserMemory } from '../user/memory.ts';
import { ModelMmu } from '../user/mmu.ts';
import type { Processor } from './process.ts';

/** Where tiny_elf() has its first byte, and its code. */
export const BASE = 0x400000;
export const CODE = BASE + 120;

export const test_memory = new UserMemory(256 * 1024 ** 2);
export const test_cpu = new UserCpu(test_memory, 'v1');

/** Machine code from hexadecimal digits; @ADDRESS stands for the four bytes of a number. */
export function machine_code(hex: string, numbers: Readonly<Record<string, number>> = {}): number[] {
  const le = (n: number): string => Buffer.from(new Uint32Array([n]).buffer).toString('hex');
  return [...Buffer.from(hex.replace(/@(\w+)/g, (_, name: string) => le(numbers[name])).replace(/\s/g, ''), 'hex')];
}

/** mov $231, %eax; syscall */
export const EXIT_GROUP = machine_code('b8e7000000 0f05');

/** A program of one segment, readable, writable and executable, with `bss` zeroes behind it. */
export function tiny_elf(code: readonly number[], bss = 0, type = 2): Uint8Array {
  const bytes = new Uint8Array(120 + code.length);
  const v = new DataView(bytes.buffer);
  const base = type === 2 ? BASE : 0;
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  v.setUint16(16, type, true);
  v.setUint16(18, 62, true);
  v.setBigUint64(24, BigInt(base + 120), true);
  v.setBigUint64(32, 64n, true);
  v.setUint16(54, 56, true);
  v.setUint16(56, 1, true);
  v.setUint32(64, 1, true);
  v.setUint32(68, 7, true);
  v.setBigUint64(80, BigInt(base), true);
  v.setBigUint64(96, BigInt(bytes.length), true);
  v.setBigUint64(104, BigInt(bytes.length + bss), true);
  v.setBigUint64(112, 4096n, true);
  bytes.set(code, 120);
  return bytes;
}

/** How a program ended. */
export interface TinyRun {
  /** wait(2) status, or 0x6300 if it was not started */
  readonly status: number;
  /** what execve(2) says */
  readonly ret: number;
  readonly m: Machine;
  /** what the person at the machine was told */
  readonly told: readonly string[];
}

/** Runs a program as the first process of a machine, which then has to pass the audit. */
export function run_tiny(bytes: Uint8Array, argv: readonly string[] = ['program'], mode = 0o755): TinyRun {
  const m = boot({ mem: 64 * 1024 ** 2, user_memory: test_memory });
  const told: string[] = [];
  const processor: Processor = { cpu: test_cpu, mmu: new ModelMmu(m), report: (text) => told.push(text) };
  let ret = 0;
  const task = start_process(m, 'init', function* () {
    yield* add_root_file(m, '/program', mode, bytes);
    const strings = argv.map((s) => new TextEncoder().encode(`${s}\0`));
    ret = yield* do_execve(m, '/program', strings, [], processor);
    return ret === 0 ? yield* ret_from_fork(m) : 99;
  });
  m.sched.run(() => task.exit_state !== 'alive');
  const found = audit(m);
  if (found.length > 0) throw new Error(found.join('\n'));
  const status = wait_status(task);
  m.release();
  return { status, ret, m, told };
}
