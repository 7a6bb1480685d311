// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { parse } from './command.ts';
import { machine_options, SPM_DEFAULT, STANDARD_MACHINE } from './options.ts';

const machine = (...argv: string[]): { values: unknown; words: string[] } =>
  parse({ options: machine_options, foreign_options: true }, argv);
const spm = (word: string): unknown => parse({ options: machine_options }, [`--spm=${word}`]).values.spm;
const mem = (word: string): unknown => parse({ options: machine_options }, [`--mem=${word}`]).values.mem;

const GIB = 1024 ** 3;

t.test('the machine of a command line without options is the recorded one without coherent memory', async (t) => {
  t.same(machine(), { values: { thp: 'always', spm: null, mem: 6 * GIB, patches: [] }, words: [] });
  t.same(STANDARD_MACHINE, machine().values);
});

t.test("options of the machine are taken out, the suite's are left in order", async (t) => {
  const states = '--patches=no-evict-on-close,fix-compound-cpages';
  const { values, words } = machine('-v', 'x', '--thp=never', '--spm', '-T', 'y', '--mem', '512G', states, 'file');
  t.same(values, {
    thp: 'never',
    spm: SPM_DEFAULT,
    mem: 512 * GIB,
    patches: ['no-evict-on-close', 'fix-compound-cpages'],
  });
  t.same(words, ['-v', 'x', '-T', 'y', 'file']);
});

t.test('addresses and sizes are read in any usual spelling', async (t) => {
  t.same(spm('0x140000000,0x150000000'), SPM_DEFAULT);
  t.same(spm('5368709120,0x150000000'), SPM_DEFAULT);
  t.equal(mem('2048M'), 2 * GIB);
  t.equal(mem('2147483648'), 2 * GIB);
});

t.test('what cannot be meant is refused with what was expected', async (t) => {
  for (const [word, expected] of [
    ['--thp=sometimes', /--thp=sometimes: expected always, madvise or never/],
    ['--thp', /--thp needs a value/],
    ['--mem=', /--mem needs a value/],
    ['--mem=6X', /--mem=6X: expected a number of bytes/],
    ['--mem=-1', /--mem=-1: expected/],
    ['--mem=0', /--mem=0: expected a number of bytes/],
    ['--mem=99999999999T', /expected a number of bytes/],
    ['--spm=', /--spm needs a value/],
    ['--spm=0x140000000,0x140000000', /two ranges of 256 MiB that do not overlap, got the same twice/],
    ['--patches=no-such-state', /patch state no-such-state: there is no such state/],
    ['--spm=0x140000000', /expected two physical addresses/],
    ['--spm=0x140000000,0x150000001', /multiples of 256 MiB/],
    ['--spm=a,b', /expected two/],
    ['--patches', /--patches needs a value/],
  ] as const) {
    t.throws(() => machine(word), expected, word);
  }
});
