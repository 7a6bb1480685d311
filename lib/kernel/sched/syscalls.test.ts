// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { small_machine, start_task } from '../testing.ts';
import { sched_yield } from './syscalls.ts';

t.test('runnable tasks go in turn', (t) => {
  const m = small_machine();
  const order: string[] = [];
  for (const name of ['a', 'b', 'c']) {
    start_task(m, function* () {
      for (let i = 0; i < 2; i++) {
        order.push(name);
        yield* sched_yield(m);
      }
    });
  }
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(order, ['a', 'b', 'c', 'a', 'b', 'c']);
  t.end();
});
