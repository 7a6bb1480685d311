// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { EXIT_GROUP, machine_code, run_tiny, tiny_elf } from '../arch/x86/kernel/testing.ts';

const ENOEXEC = -8;

/** A program with one number of its headers changed. */
function changed(at: number, value: number): Uint8Array {
  const bytes = tiny_elf(EXIT_GROUP);
  new DataView(bytes.buffer).setUint16(at, value, true);
  return bytes;
}

t.test('headers of other kinds of files are refused', async (t) => {
  const what = { type: 16, machine: 18, phentsize: 54, phnum: 56 };
  t.equal(run_tiny(changed(what.type, 1)).ret, ENOEXEC, 'an object file');
  t.equal(run_tiny(changed(what.machine, 183)).ret, ENOEXEC, 'of arm64');
  t.equal(run_tiny(changed(what.phentsize, 32)).ret, ENOEXEC);
  t.equal(run_tiny(changed(what.phnum, 0)).ret, ENOEXEC);
});

t.test('the stack is aligned, and ends with the names of the auxiliary vector', async (t) => {
  // mov %esp, %edi; and $15, %edi
  t.equal(run_tiny(tiny_elf([...machine_code('89e7 83e70f'), ...EXIT_GROUP])).status, 0);
  // behind argc, one argument and two zeroes: pairs up to AT_PAGESZ (6), of which the second byte of the value is 16
  const find = machine_code('488d442420 4883c010 488378f006 75f5 0fb678f9');
  t.equal(run_tiny(tiny_elf([...find, ...EXIT_GROUP])).status, 16 << 8);
});

t.test('a position-independent program without an interpreter is where mmap(2) finds room', async (t) => {
  // lea 0(%rip), %rdi; shr $40, %rdi
  const code = machine_code('488d3d00000000 48c1ef28');
  t.equal(run_tiny(tiny_elf([...code, ...EXIT_GROUP], 0, 3)).status, 0x7f << 8);
  t.equal(run_tiny(tiny_elf([...code, ...EXIT_GROUP])).status, 0);
});
