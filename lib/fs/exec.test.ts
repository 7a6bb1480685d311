// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Processor } from '../arch/x86/kernel/process.ts';
import { EXIT_GROUP, run_tiny, test_cpu, test_memory, tiny_elf } from '../arch/x86/kernel/testing.ts';
import { ModelMmu } from '../arch/x86/user/mmu.ts';
import { boot } from '../boot.ts';
import { start_process } from '../kernel/exec.ts';
import { do_execve } from './exec.ts';

const [ENOENT, ENOEXEC, EACCES] = [-2, -8, -13];
const [SIGILL, SIGSEGV, SIGUSR1] = [4, 11, 10];

t.test('a program gets its arguments on the stack and ends with its status', async (t) => {
  // mov (%rsp), %edi
  t.equal(run_tiny(tiny_elf([0x8b, 0x3c, 0x24, ...EXIT_GROUP]), ['a', 'b', 'c']).status, 3 << 8);
});

t.test('data behind the file is zero, in its last page and in further ones', async (t) => {
  // movzbl 0x401100, %edi; movzbl 0x400fff, %eax; add %eax, %edi
  const code = [0x0f, 0xb6, 0x3c, 0x25, 0, 0x11, 0x40, 0, 0x0f, 0xb6, 0x04, 0x25, 0xff, 0x0f, 0x40, 0, 0x01, 0xc7];
  t.equal(run_tiny(tiny_elf([...code, ...EXIT_GROUP], 8192)).status, 0);
});

t.test('an instruction that faults ends a program by its signal, and the stack grows only to its limit', async (t) => {
  t.equal(run_tiny(tiny_elf([0x0f, 0x0b])).status, SIGILL, 'ud2');
  t.equal(run_tiny(tiny_elf([0x8b, 0x04, 0x25, 0, 0, 0, 0])).status, SIGSEGV, 'mov 0, %eax');
  t.equal(run_tiny(tiny_elf([0x50, 0xeb, 0xfd])).status, SIGSEGV, 'push %rax for ever');
});

t.test('a signal that the program sends to itself ends it', async (t) => {
  // mov $39, %eax; syscall; mov %eax, %edi; mov $10, %esi; mov $62, %eax; syscall; jmp .
  const getpid = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7];
  const kill = [0xbe, SIGUSR1, 0, 0, 0, 0xb8, 62, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xfe];
  t.equal(run_tiny(tiny_elf([...getpid, ...kill])).status, SIGUSR1);
});

t.test('a system call that Linux has and the model lacks ends the run with its name, another is -ENOSYS', async (t) => {
  // mov $NR, %eax; syscall; mov %eax, %edi; neg %edi
  const call = (nr: number): Uint8Array =>
    tiny_elf([0xb8, nr & 255, nr >> 8, 0, 0, 0x0f, 0x05, 0x89, 0xc7, 0xf7, 0xdf, ...EXIT_GROUP]);
  t.throws(() => run_tiny(call(101)), /not modelled: system call ptrace/);
  t.equal(run_tiny(call(425)).status, 38 << 8, 'io_uring_setup is not in the configuration');
  t.equal(run_tiny(call(999)).status, 38 << 8);
});

t.test('what is no program, or may not be executed, leaves the old one', async (t) => {
  t.equal(run_tiny(new TextEncoder().encode('text')).ret, ENOEXEC);
  t.equal(run_tiny(tiny_elf(EXIT_GROUP).subarray(0, 63)).ret, ENOEXEC);
  t.equal(run_tiny(tiny_elf(EXIT_GROUP), ['a'], 0o644).ret, EACCES);
  const m = boot({ mem: 64 * 1024 ** 2, user_memory: test_memory });
  const task = start_process(m, 'init', function* () {
    const processor: Processor = { cpu: test_cpu, mmu: new ModelMmu(m), report: () => {} };
    t.equal(yield* do_execve(m, '/nothing', [], [], processor), ENOENT);
  });
  m.sched.run(() => task.exit_state !== 'alive');
  m.release();
});
