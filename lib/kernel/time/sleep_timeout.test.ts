// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { small_machine, start_task } from '../testing.ts';
import { schedule_timeout } from './sleep_timeout.ts';

t.test('when all sleep, time jumps to the next timer', (t) => {
  const m = small_machine();
  const woke: [string, number][] = [];
  for (const [name, ns] of [
    ['late', 5000],
    ['soon', 2000],
  ] as const) {
    start_task(m, function* () {
      t.equal(yield* schedule_timeout(m, ns, 1), 0);
      woke.push([name, m.sched.now]);
    });
  }
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(woke, [
    ['soon', 2000],
    ['late', 5000],
  ]);
  t.end();
});
