// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot } from './boot.ts';
import { Registry } from './machine.ts';

t.test('machines do not share state', (t) => {
  const [a, b] = [boot({ mem: 64 * 1024 ** 2 }), boot({ mem: 64 * 1024 ** 2 })];
  a.log.lines.push('only in a');
  t.notOk(b.log.lines.includes('only in a'));
  t.not(a.page, b.page);
  t.end();
});

t.test('a registry gives numbers from 1 on and uses those that were removed again', (t) => {
  const r = new Registry<{ id: number }>();
  const make = (id: number): { id: number } => ({ id });
  t.same([r.add(make).id, r.add(make).id, r.add(make).id], [1, 2, 3]);
  r.remove(2);
  t.equal(r.get(2), null);
  t.equal(r.get(0), null);
  t.equal(r.add(make).id, 2);
  t.equal(r.live().length, 3);
  t.end();
});
