// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { small_machine, start_task } from '../testing.ts';
import { take_out, wait_event, wait_on, wait_queue_head, wake_up } from './wait.ts';

t.test('a wake-up reaches everybody who waits, and nobody who comes later', (t) => {
  const m = small_machine();
  const wq = new wait_queue_head('a bell');
  const woken: string[] = [];
  for (const name of ['a', 'b']) {
    start_task(
      m,
      function* () {
        yield* wait_on(m, wq);
        woken.push(name);
      },
      name,
    );
  }
  m.sched.run(() => wq.tasks.length === 2);
  wake_up(m, wq);
  t.same(wq.tasks, []);
  m.sched.run(() => woken.length === 2);
  t.same(woken, ['a', 'b']);
  t.end();
});

t.test('who waits for a condition goes back to sleep until it holds, and does not sleep if it does', (t) => {
  const m = small_machine();
  const wq = new wait_queue_head('a number');
  let n = 0;
  const waiter = start_task(m, function* () {
    yield* wait_event(m, wq, () => n === 2);
    yield* wait_event(m, wq, () => true);
  });
  const asleep = (): boolean => wq.tasks.length === 1;
  m.sched.run(asleep);
  n = 1;
  wake_up(m, wq);
  m.sched.run(asleep);
  t.not(waiter.gen, null);
  n = 2;
  wake_up(m, wq);
  m.sched.run(() => waiter.gen === null);
  t.equal(waiter.gen, null);
  t.end();
});

t.test('the last of two equal items is taken out', (t) => {
  const list = [1, 2, 1, 3];
  t.ok(take_out(list, 1));
  t.same(list, [1, 2, 3]);
  t.notOk(take_out(list, 9));
  t.ok(take_out(list, 3));
  t.same(list, [1, 2]);
  t.end();
});
