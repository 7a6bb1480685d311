// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { load_module, unload_module } from './module.ts';
import { run_task, small_machine } from './testing.ts';

const [ENOENT, EEXIST] = [2, 17];

t.test('a module is loaded once, and an unknown one is not found', (t) => {
  const m = small_machine({ mem: 512 * 1024 * 1024 });
  run_task(m, function* () {
    t.equal(yield* load_module(m, 'no_such_module'), -ENOENT);
    t.equal(yield* unload_module(m, 'test_hmm'), -ENOENT);
    t.equal(yield* load_module(m, 'test_hmm', { nonsense: 1 }), 0);
    t.ok(m.log.lines.some((l) => l.includes("unknown parameter 'nonsense' ignored")));
    t.equal(yield* load_module(m, 'test_hmm'), -EEXIST);
    t.equal(yield* unload_module(m, 'test_hmm'), 0);
    t.notOk(m.modules.loaded.has('test_hmm'));
  });
  t.same(m.log.oopses, []);
  t.end();
});
