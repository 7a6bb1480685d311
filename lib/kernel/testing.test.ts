// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { audit } from '../audit.ts';
import { folio_trylock } from '../mm/filemap/folio_lock.ts';
import { kernel_clone } from './fork/fork.ts';
import type { Gen } from './gen.ts';
import { mutex, mutex_lock, mutex_unlock } from './locking/mutex.ts';
import { BUG_ON, WARN_ON } from './printk.ts';
import { Deadlock } from './sched/core.ts';
import { sched_yield } from './sched/syscalls.ts';
import { wait_event, wait_queue_head, wake_up } from './sched/wait.ts';
import { at_once, run_clean, run_process, run_task, signal_of, small_machine, start_task } from './testing.ts';

t.test('the machine is small, has no huge pages unless asked, and is clean', (t) => {
  const m = small_machine();
  t.same([m.config.mem, m.config.thp, m.config.cpus], [64 * 1024 * 1024, 'never', 2]);
  const other = small_machine({ thp: 'always', cpus: 1 }).config;
  t.same([other.mem, other.thp, other.cpus], [64 * 1024 * 1024, 'always', 1]);
  t.same(audit(m), []);
  t.end();
});

t.test('a task runs to its end as the current one, after those that were started before it', (t) => {
  const m = small_machine();
  const order: string[] = [];
  const early = start_task(
    m,
    function* () {
      order.push('early');
    },
    'first',
  );
  t.same(order, [], 'not before the scheduler runs');
  const task = run_task(
    m,
    function* () {
      t.equal(m.current.comm, 'second');
      t.equal(m.current.thread_group[0], m.current);
      order.push('late');
    },
    'second',
  );
  t.same(order, ['early', 'late']);
  t.equal(task.gen, null);
  t.equal(task.pid, early.pid + 1);
  t.equal(m.sched.tasks.length, 0);
  t.end();
});

t.test('a task that another one wakes gets on, and one that nobody wakes is a deadlock that names its wait', (t) => {
  const m = small_machine();
  const wq = new wait_queue_head('a wakeup');
  let there = false;
  const sleeper = start_task(m, function* () {
    yield* wait_event(m, wq, () => there);
  });
  run_task(m, function* () {
    there = true;
    wake_up(m, wq);
  });
  run_task(m, function* () {
    yield* wait_event(m, wq, () => sleeper.gen === null);
  });
  t.equal(sleeper.gen, null);

  const lock = new mutex('the lock');
  t.throws(
    () =>
      run_task(
        m,
        function* () {
          yield* mutex_lock(m, lock);
          yield* wait_event(m, wq, () => false);
          mutex_unlock(m, lock);
        },
        'stuck',
      ),
    new Deadlock([`task ${sleeper.pid + 3} (stuck) waits for a wakeup`]),
  );
  t.same(audit(m), [`lock: task ${sleeper.pid + 3} holds the lock`]);
  t.end();
});

t.test('a process has memory, its status says how it ended, and its children end first', (t) => {
  const m = small_machine();
  const stack = 0x7ffffffff000 - 4096;
  let child_done = false;
  t.equal(
    run_process(m, function* () {
      t.equal(m.current.comm, 'test');
      yield* user_store32(m, stack, 5);
      yield* kernel_clone(m, 0, function* () {
        yield* sched_yield(m);
        child_done = (yield* user_load32(m, stack)) === 5;
      });
      return 3;
    }),
    3 << 8,
  );
  t.ok(child_done);
  t.equal(
    run_process(
      m,
      function* () {
        t.equal(m.current.comm, 'another');
        yield* user_load32(m, 0x1000);
      },
      'another',
    ),
    11,
    'SIGSEGV',
  );
  t.same(audit(m), []);
  t.equal(
    run_process(m, function* () {
      BUG_ON(true, 'lib/kernel/testing.test.ts');
    }),
    9,
    'what oopses is killed',
  );
  t.equal(m.log.oopses.length, 1);
  t.end();
});

t.test('a clean run is one that succeeds, warns of nothing and leaves the machine whole', (t) => {
  const told: unknown[] = [];
  const asserts = {
    equal: (...[found]: unknown[]) => told.push(found) > 0,
    same: (...[found]: unknown[]) => told.push(found) > 0,
  };
  const m = run_clean(
    asserts,
    small_machine(),
    function* (m, mm) {
      t.equal(mm, m.current.mm);
      t.equal(m.current.comm, 'name');
    },
    'name',
  );
  t.same(told.splice(0), [0, [[], []], []]);
  run_clean(asserts, m, function* (m) {
    WARN_ON(m, true, 'somebody');
    yield* user_load32(m, 0x1000);
  });
  t.same(told.splice(0), [11, [m.log.warnings, []], []]);
  t.equal(m.log.warnings.length, 1);
  run_clean(asserts, m, function* (m) {
    folio_trylock(m, m.zero_page);
  });
  t.match(told[2], [/lock: folio .* is locked/]);
  t.end();
});

t.test('the signal of an access is told, other errors go on, and what waits is no plain call', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      t.equal(yield* signal_of(user_load32(m, 0x1000)), 11);
      t.equal(yield* signal_of(user_load32(m, 0x7ffffffff000 - 4096)), 0);
    }),
    0,
  );
  t.throws(
    () =>
      at_once(
        signal_of(
          (function* (): Gen<void> {
            throw new Error('another');
          })(),
        ),
      ),
    /another/,
  );
  t.equal(at_once(mutex_lock(m, new mutex('free'))), undefined);
  t.throws(() => at_once(wait_event(m, new wait_queue_head('a wakeup'), () => false)), /waits for a wakeup/);
  t.end();
});
