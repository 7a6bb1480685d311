// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { comparable, compare_program, read_recorded, recorded, recorded_names } from './recorded.ts';

t.test('every recording can be read, with and without swap', async (t) => {
  for (const swap of ['noswap', 'swap'] as const) {
    const names = recorded_names(swap);
    t.equal(names.length, 25);
    for (const name of names) t.match(recorded(swap, name).lines[0], /^TAP version 13|^#/, name);
  }
  t.same(recorded('noswap', 'uffd-stress').args, ['anon', '16', '4']);
  t.throws(() => read_recorded('x', '# x\nTAP version 13\n'), /expected a line "# exit status N"/);
  t.throws(
    () => read_recorded('x', '# x\na\n# exit status 0\nWARNING: x\n'),
    /expected nothing behind the exit status, got WARNING: x/,
  );
});

t.test('lines are compared as they are, but for addresses that the kernel chose', async (t) => {
  const lines = ['TAP version 13', '# p=0x7f59cd586000', 'ok 1 a', 'not ok 2 b'];
  const linux = { lines, status: 1 };
  t.same(compare_program(linux, linux), { subtests: 2, same: 2, difference: null });
  t.equal(compare_program(linux, { ...linux, lines: lines.with(1, '# p=0x7fffb0000000') }).difference, null);
  t.same(compare_program(linux, { ...linux, status: 0 }), {
    subtests: 2,
    same: 2,
    difference: { line: 5, expected: 'exit status 1', got: 'exit status 0' },
  });
  t.same(compare_program(linux, { lines: lines.with(3, 'ok 2 b'), status: 1 }), {
    subtests: 2,
    same: 1,
    difference: { line: 4, expected: 'not ok 2 b', got: 'ok 2 b' },
  });
  t.same(compare_program(linux, { lines: lines.slice(0, 2), status: 3 }).difference, {
    line: 3,
    expected: 'ok 1 a',
    got: 'exit status 3',
  });
  t.equal(comparable('p=0xffffffffffffffff'), 'p=0xffffffffffffffff', 'MAP_FAILED is no address');
  t.equal(comparable('# Time: get:23514 put:1080 us# '), '# Time: get:TIME put:TIME us# ');
});
