// SPDX-License-Identifier: GPL-2.0-only

import { boot } from '../../boot.ts';
import { Oops } from '../../kernel/printk.ts';
import { Deadlock } from '../../kernel/sched/core.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { start_task } from '../../kernel/testing.ts';
import { folio_test_locked } from '../page-flags.ts';
import { alloc_page } from '../page_alloc.ts';
import { folio_lock, folio_trylock, folio_unlock, folio_wait_locked } from './folio_lock.ts';
import t from 'tap';

const KERNEL = 0xcc0;
t.test('a second locker sleeps until the first unlocks', (t) => {
  const m = boot({ mem: 64 * 1024 * 1024 });
  const folio = alloc_page(m, KERNEL);
  const seen: string[] = [];
  start_task(m, function* () {
    yield* folio_lock(m, folio);
    seen.push('a has it');
    yield* sched_yield(m);
    yield* sched_yield(m);
    seen.push('a gives it back');
    folio_unlock(m, folio);
  });
  start_task(m, function* () {
    t.notOk(folio_trylock(m, folio));
    yield* folio_lock(m, folio);
    seen.push('b has it');
    folio_unlock(m, folio);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(seen, ['a has it', 'a gives it back', 'b has it']);
  t.notOk(folio_test_locked(m, folio));
  t.equal(m.folio_wait.size, 0);
  t.end();
});

t.test('one unlock wakes everybody who only waits, and the first who wants the lock', (t) => {
  const m = boot({ mem: 64 * 1024 * 1024 });
  const folio = alloc_page(m, KERNEL);
  folio_trylock(m, folio);
  const seen: string[] = [];
  for (const name of ['w1', 'w2']) {
    start_task(m, function* () {
      yield* folio_wait_locked(m, folio);
      seen.push(name);
    });
  }
  for (const name of ['l1', 'l2']) {
    start_task(m, function* () {
      yield* folio_lock(m, folio);
      seen.push(name);
    });
  }
  start_task(m, function* () {
    yield* sched_yield(m);
    folio_unlock(m, folio);
  });
  t.throws(() => m.sched.run(() => m.sched.tasks.length === 0), Deadlock);
  t.same(seen, ['w1', 'w2', 'l1'], 'l1 ended with the lock, so l2 waits for ever');
  t.end();
});

t.test('to unlock what is not locked is a bug', (t) => {
  const m = boot({ mem: 64 * 1024 * 1024 });
  t.throws(() => folio_unlock(m, alloc_page(m, KERNEL)), Oops);
  t.end();
});
