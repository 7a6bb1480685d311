// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { machine_options, SPM_DEFAULT } from './options.ts';

const GIB = 1024 ** 3;

t.test('the machine of a command line without options is the recorded one without coherent memory', async (t) => {
  t.same(machine_options([]), { options: { thp: 'always', spm: null, mem: 6 * GIB, patches: [] }, rest: [] });
});

t.test("options of the machine are taken out, the suite's are left in order", async (t) => {
  const { options, rest } = machine_options([
    '-v',
    'x',
    '--thp=never',
    '--spm',
    '-T',
    'y',
    '--mem=512G',
    '--patches=a,b',
    'file',
  ]);
  t.same(options, { thp: 'never', spm: SPM_DEFAULT, mem: 512 * GIB, patches: ['a', 'b'] });
  t.same(rest, ['-v', 'x', '-T', 'y', 'file']);
});

t.test('addresses and sizes are read in any usual spelling', async (t) => {
  t.same(machine_options(['--spm=0x140000000,0x150000000']).options.spm, SPM_DEFAULT);
  t.same(machine_options(['--spm=5368709120,0x150000000']).options.spm, SPM_DEFAULT);
  t.equal(machine_options(['--mem=2048M']).options.mem, 2 * GIB);
  t.equal(machine_options(['--mem=2147483648']).options.mem, 2 * GIB);
});

t.test('what cannot be meant is refused with what was expected', async (t) => {
  for (const [word, expected] of [
    ['--thp=sometimes', /--thp=sometimes: expected always, madvise or never/],
    ['--thp', /--thp needs a value/],
    ['--mem=', /--mem needs a value/],
    ['--mem=6X', /--mem=6X: expected a number of bytes/],
    ['--mem=-1', /--mem=-1: expected/],
    ['--spm=0x140000000', /expected two physical addresses/],
    ['--spm=0x140000000,0x150000001', /multiples of 256 MiB/],
    ['--spm=a,b', /expected two/],
    ['--patches', /--patches needs a value/],
  ] as const) {
    t.throws(() => machine_options([word]), expected, word);
  }
});
