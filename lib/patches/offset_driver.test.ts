// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import { load_module, unload_module } from '../kernel/module.ts';

const [ENODEV, MEM] = [19, 128 * 1024 ** 2];

function run<T>(gen: Gen<T>): T {
  const r = gen.next();
  if (!r.done) throw new Error(`waits for ${r.value.what}`);
  return r.value;
}

t.test('the driver needs the series, takes the first offsets that are free, and leaves nothing behind', (t) => {
  t.equal(run(load_module(boot({ mem: MEM }), 'offset_driver')), -ENODEV);
  const m = boot({ mem: MEM, patches: ['device-private-offsets'] });
  t.equal(run(load_module(m, 'offset_driver', { pages: 3 })), 0);
  t.equal(run(load_module(m, 'test_hmm')), 0);
  t.equal(m.pgmaps.live()[1]?.range.start, 3 * 4096);
  for (const name of ['offset_driver', 'test_hmm']) t.equal(run(unload_module(m, name)), 0);
  t.same(m.pgmaps.live(), []);
  t.same(audit(m), []);
  t.end();
});
