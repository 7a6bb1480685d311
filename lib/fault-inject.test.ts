// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from './machine.ts';
import { should_fail } from './fault-inject.ts';
import { task_struct } from './kernel/sched/core.ts';
import { kcalloc } from './mm/slub.ts';

const GFP_KERNEL = 0xcc0;

t.test('the n-th allocation of the task that asked for it fails, once', (t) => {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  const [mine, other] = [new task_struct(7, 'mine'), new task_struct(8, 'other')];
  m.slab.fail_nth.set(7, 2);
  m.current = other;
  t.notOk(should_fail(m));
  m.current = mine;
  t.ok(kcalloc(m, 1, GFP_KERNEL), 'the first works');
  m.current = other;
  t.ok(kcalloc(m, 1, GFP_KERNEL));
  t.equal(m.slab.fail_nth.get(7), 1, 'what another task allocates does not count');
  m.current = mine;
  t.equal(kcalloc(m, 1, GFP_KERNEL), null);
  t.equal(m.slab.live, 2, 'a failed one is not counted');
  t.notOk(m.slab.fail_nth.has(7));
  t.ok(kcalloc(m, 1, GFP_KERNEL));
  t.end();
});
