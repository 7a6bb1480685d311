// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_task, small_machine } from './testing.ts';
import { task_work_run } from './task_work.ts';

t.test('work runs once, in order, also what it adds itself', (t) => {
  const m = small_machine();
  const ran: number[] = [];
  run_task(m, function* () {
    m.current.task_works.push(
      function* () {
        ran.push(1);
        m.current.task_works.push(function* () {
          ran.push(3);
        });
      },
      function* () {
        ran.push(2);
      },
    );
    yield* task_work_run(m);
    t.same(ran, [1, 2, 3]);
    yield* task_work_run(m);
    t.equal(ran.length, 3);
  });
  t.end();
});
