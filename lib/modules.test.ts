// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { load_module, unload_module } from './kernel/module.ts';
import { run_task, small_machine } from './kernel/testing.ts';
import { initcalls, modules } from './modules.ts';

t.test('each driver has a name of its own, and test_hmm is among them', (t) => {
  const names = modules.map((mod) => mod.name);
  t.equal(new Set(names).size, names.length);
  t.ok(names.includes('test_hmm'));
  t.ok(initcalls.length > 0);
  t.end();
});

t.test('a module that loads on Linux 7.3.4 can be unloaded again and leaves nothing behind', (t) => {
  const m = small_machine({ mem: 512 * 1024 * 1024 });
  run_task(m, function* () {
    for (const { name } of modules) {
      const before = m.modules.loaded.size;
      if ((yield* load_module(m, name)) !== 0) continue;
      t.equal(yield* unload_module(m, name), 0, name);
      t.equal(m.modules.loaded.size, before);
      t.notOk(m.modules.data.has(name), `${name} keeps nothing`);
    }
  });
  t.same(m.log.oopses, []);
  t.end();
});
