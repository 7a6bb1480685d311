// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { EXIT_GROUP, machine_code, run_tiny, tiny_elf } from '../kernel/testing.ts';

const [SIGILL, SIGTRAP, SIGFPE, SIGSEGV] = [4, 5, 8, 11];

t.test('exceptions are the signals that Linux makes of them', async (t) => {
  const ends = (hex: string): number => run_tiny(tiny_elf(machine_code(hex))).status;
  t.equal(ends('0f0b'), SIGILL, 'ud2');
  t.equal(ends('cc'), SIGTRAP, 'int3');
  t.equal(ends('31c9 f7f1'), SIGFPE, 'division by zero');
  t.equal(ends('f4'), SIGSEGV, 'hlt');
  t.equal(ends('48b80000000000800000 8b00'), SIGSEGV, 'an address that is not canonical');
});

t.test('a segmentation fault without a handler is in the log, with its error code', async (t) => {
  const { m, status } = run_tiny(tiny_elf(machine_code('8b042534120000')));
  t.equal(status, SIGSEGV);
  t.match(m.log.lines.at(-1), /program\[\d+\]: segfault at 1234 ip 0000000000400078 sp [0-9a-f]{16} error 4$/);
});

t.test('an instruction that the CPU lacks is said with its bytes and address', async (t) => {
  // paddb %mm1, %mm0
  const { status, told } = run_tiny(tiny_elf(machine_code('0ffcc1')));
  t.equal(status, SIGILL);
  t.match(told, [/^program\[\d+\]: the CPU lacks the instruction 0f fc c1.* at 0x400078$/]);
});

t.test('registers are cut as system calls take them', async (t) => {
  // close(0x100000063): the descriptor is an int, 99, which is not open
  const code = machine_code('b803000000 48bf6300000001000000 0f05 89c7 f7df');
  t.equal(run_tiny(tiny_elf([...code, ...EXIT_GROUP])).status, 9 << 8);
});
