// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import { at_once } from '../kernel/testing.ts';

const [ENODEV, MEM] = [19, 128 * 1024 ** 2];

t.test('the driver needs the series, takes the first offsets that are free, and leaves nothing behind', (t) => {
  t.equal(at_once(load_module(boot({ mem: MEM }), 'offset_driver')), -ENODEV);
  const m = boot({ mem: MEM, patches: ['device-private-offsets'] });
  t.equal(at_once(load_module(m, 'offset_driver', { pages: 3 })), 0);
  t.equal(at_once(load_module(m, 'test_hmm')), 0);
  t.equal(m.pgmaps.live()[1]?.range.start, 3 * 4096);
  for (const name of ['offset_driver', 'test_hmm']) t.equal(at_once(unload_module(m, name)), 0);
  t.same(m.pgmaps.live(), []);
  t.same(audit(m), []);
  t.end();
});
