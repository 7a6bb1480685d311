// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { ret_from_fork } from '../arch/x86/entry/user_entry.ts';
import type { Processor } from '../arch/x86/kernel/process.ts';
import { UserCpu } from '../arch/x86/user/cpu.ts';
import { UserMemory } from '../arch/x86/user/memory.ts';
import { ModelMmu } from '../arch/x86/user/mmu.ts';
import { audit } from '../audit.ts';
import { boot, type Machine } from '../boot.ts';
import { start_process } from '../kernel/exec.ts';
import { wait_status } from '../kernel/exit.ts';
import { do_execve } from './exec.ts';
import { add_root_file } from './namei.ts';

const [ENOENT, ENOEXEC, EACCES] = [-2, -8, -13];
const [SIGILL, SIGSEGV, SIGUSR1] = [4, 11, 10];
const BASE = 0x400000;
const memory = new UserMemory(256 * 1024 ** 2);
const cpu = new UserCpu(memory, 'v1');

/** A program of one segment, with its code at byte 120 and `bss` zeroes behind it. */
function elf(code: readonly number[], bss = 0): Uint8Array {
  const bytes = new Uint8Array(120 + code.length);
  const v = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  v.setUint16(16, 2, true);
  v.setUint16(18, 62, true);
  v.setBigUint64(24, BigInt(BASE + 120), true);
  v.setBigUint64(32, 64n, true);
  v.setUint16(54, 56, true);
  v.setUint16(56, 1, true);
  v.setUint32(64, 1, true);
  v.setUint32(68, 7, true);
  v.setBigUint64(80, BigInt(BASE), true);
  v.setBigUint64(96, BigInt(bytes.length), true);
  v.setBigUint64(104, BigInt(bytes.length + bss), true);
  v.setBigUint64(112, 4096n, true);
  bytes.set(code, 120);
  return bytes;
}

/** Runs a file as the first process. Returns its wait(2) status, or what execve(2) says. */
function run(
  bytes: Uint8Array,
  argv: string[] = ['program'],
  mode = 0o755,
): { status: number; ret: number; m: Machine } {
  const m = boot({ mem: 64 * 1024 ** 2, user_memory: memory });
  const processor: Processor = { cpu, mmu: new ModelMmu(m), report: () => {} };
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
  return { status, ret, m };
}

const EXIT_GROUP = [0xb8, 231, 0, 0, 0, 0x0f, 0x05]; // mov $231, %eax; syscall

t.test('a program gets its arguments on the stack and ends with its status', async (t) => {
  // mov (%rsp), %edi
  t.equal(run(elf([0x8b, 0x3c, 0x24, ...EXIT_GROUP]), ['a', 'b', 'c']).status, 3 << 8);
});

t.test('data behind the file is zero, in its last page and in further ones', async (t) => {
  // movzbl 0x401100, %edi; movzbl 0x400fff, %eax; add %eax, %edi
  const code = [0x0f, 0xb6, 0x3c, 0x25, 0, 0x11, 0x40, 0, 0x0f, 0xb6, 0x04, 0x25, 0xff, 0x0f, 0x40, 0, 0x01, 0xc7];
  t.equal(run(elf([...code, ...EXIT_GROUP], 8192)).status, 0);
});

t.test('an instruction that faults ends a program by its signal, and the stack grows only to its limit', async (t) => {
  t.equal(run(elf([0x0f, 0x0b])).status, SIGILL, 'ud2');
  t.equal(run(elf([0x8b, 0x04, 0x25, 0, 0, 0, 0])).status, SIGSEGV, 'mov 0, %eax');
  t.equal(run(elf([0x50, 0xeb, 0xfd])).status, SIGSEGV, 'push %rax for ever');
});

t.test('a signal that the program sends to itself ends it', async (t) => {
  // mov $39, %eax; syscall; mov %eax, %edi; mov $10, %esi; mov $62, %eax; syscall; jmp .
  const getpid = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7];
  const kill = [0xbe, SIGUSR1, 0, 0, 0, 0xb8, 62, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xfe];
  t.equal(run(elf([...getpid, ...kill])).status, SIGUSR1);
});

t.test('a system call that Linux has and the model lacks ends the run with its name, another is -ENOSYS', async (t) => {
  // mov $NR, %eax; syscall; mov %eax, %edi; neg %edi
  const call = (nr: number): Uint8Array =>
    elf([0xb8, nr & 255, nr >> 8, 0, 0, 0x0f, 0x05, 0x89, 0xc7, 0xf7, 0xdf, ...EXIT_GROUP]);
  t.throws(() => run(call(101)), /not modelled: system call ptrace/);
  t.equal(run(call(425)).status, 38 << 8, 'io_uring_setup is not in the configuration');
  t.equal(run(call(999)).status, 38 << 8);
});

t.test('what is no program, or may not be executed, leaves the old one', async (t) => {
  t.equal(run(new TextEncoder().encode('text')).ret, ENOEXEC);
  t.equal(run(elf(EXIT_GROUP).subarray(0, 63)).ret, ENOEXEC);
  t.equal(run(elf(EXIT_GROUP), ['a'], 0o644).ret, EACCES);
  const m = boot({ mem: 64 * 1024 ** 2, user_memory: memory });
  const task = start_process(m, 'init', function* () {
    const processor: Processor = { cpu, mmu: new ModelMmu(m), report: () => {} };
    t.equal(yield* do_execve(m, '/nothing', [], [], processor), ENOENT);
  });
  m.sched.run(() => task.exit_state !== 'alive');
  m.release();
});
