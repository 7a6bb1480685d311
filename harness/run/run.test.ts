// SPDX-License-Identifier: GPL-2.0-only

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { STANDARD_MACHINE } from '../cli/options.ts';
import { compile } from './compiler.ts';
import type { Binary } from './options.ts';
import { run_binary_suite } from './suite.ts';

const PROCESSES = fileURLToPath(new URL('../../selftests/c/processes.c', import.meta.url));
const SMALL = { ...STANDARD_MACHINE, mem: 1024 ** 3 };
const binary = (file: string): Binary => ({ file, root: '/', cpu: 'v1' });
const LINES = [
  'ok arguments',
  'on standard error',
  'ok a stack that grows to 4 MiB',
  'ok a fault that a handler leaves',
  'ok a fault without a mapping',
  'ok a signal waits while it is blocked',
  'ok threads',
  'ok a child with its own memory',
  'ok a child that a signal ends',
  'ok a child that starts a program',
  'ok a pipe',
  'ok memory',
  'ok a device',
];

for (const [how, flags] of [
  ['static', ['-static']],
  ['dynamic', ['-no-pie']],
  ['position-independent', ['-pie', '-fPIE']],
] as const) {
  t.test(`a ${how} C program finds its memory, processes, threads and signals on the machine`, async (t) => {
    const program = compile(PROCESSES, flags);
    if (program === null) {
      t.comment('no compiler of this machine makes such a program');
      return;
    }
    let output = '';
    const { code, findings } = run_binary_suite(binary(program), SMALL, ['one', 'two words'], (text) => {
      output += text;
    });
    t.same(output.trimEnd().split('\n'), LINES);
    t.equal(code, 5, 'its exit status');
    t.same(findings, [], 'the audit of the machine');
  });
}

t.test('what is no program for the machine is refused in one line', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'hmm-selftests-')), 'text');
  writeFileSync(file, 'not a program');
  t.throws(() => run_binary_suite(binary(file), SMALL, [], () => {}), /text: expected a compiled program \(ELF\)/);
  t.throws(() => run_binary_suite(binary(tmpdir()), SMALL, [], () => {}), /it is a directory/);
});
