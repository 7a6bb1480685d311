// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_task, small_machine } from '../kernel/testing.ts';
import { do_scandir } from './readdir.ts';

const [ENOENT, ENOTDIR] = [2, 20];
const [DT_CHR, DT_DIR, DT_REG] = [2, 4, 8];

t.test('a directory lists itself, its parent, and what is in it with its type', (t) => {
  const m = small_machine();
  run_task(m, function* () {
    const type_of = (list: { d_name: string; d_type: number }[] | number, name: string): number | undefined =>
      typeof list === 'number' ? undefined : list.find((d) => d.d_name === name)?.d_type;
    const dev = yield* do_scandir(m, '/dev');
    t.same(
      ['.', '..', 'zero'].map((name) => type_of(dev, name)),
      [DT_DIR, DT_DIR, DT_CHR],
    );
    const root = yield* do_scandir(m, '/');
    t.same(
      ['dev', 'proc', 'sys'].map((name) => type_of(root, name)),
      [DT_DIR, DT_DIR, DT_DIR],
    );
    t.equal(type_of(yield* do_scandir(m, '/sys/kernel/mm/transparent_hugepage'), 'enabled'), DT_REG);
    t.equal(yield* do_scandir(m, '/dev/zero'), -ENOTDIR);
    t.equal(yield* do_scandir(m, '/nowhere'), -ENOENT);
  });

  t.end();
});
