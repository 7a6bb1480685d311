// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../machine.ts';
import { mm_alloc } from '../kernel/fork/mm_init.ts';
import { Oops } from '../kernel/printk.ts';
import { sched_yield } from '../kernel/sched/syscalls.ts';
import { send_sig } from '../kernel/signal.ts';
import { run_task, small_machine, start_task } from '../kernel/testing.ts';
import { type mm_struct, vm_area_struct } from './mm_types.ts';
import {
  __is_vma_write_locked,
  lock_next_vma,
  lock_vma_under_rcu,
  mmap_assert_locked,
  mmap_assert_write_locked,
  mmap_read_lock,
  mmap_read_lock_killable,
  mmap_read_trylock,
  mmap_read_unlock,
  mmap_write_downgrade,
  mmap_write_lock,
  mmap_write_unlock,
  vma_assert_locked,
  vma_assert_write_locked,
  vma_end_read,
  vma_mark_attached,
  vma_mark_detached,
  vma_start_read,
  vma_start_read_locked,
  vma_start_write,
  vma_start_write_killable,
} from './mmap_lock.ts';

const BASE = 0x200000000;
const PAGE = 4096;
const SIGKILL = 9;
const EINTR = 4;

/** An address space of two vmas, with a page between them. */
function build(): { m: Machine; mm: mm_struct; a: vm_area_struct; b: vm_area_struct } {
  const m = small_machine();
  const mm = mm_alloc(m) as mm_struct;
  const a = new vm_area_struct(mm, BASE, BASE + PAGE);
  const b = new vm_area_struct(mm, BASE + 2 * PAGE, BASE + 3 * PAGE);
  a.detached = b.detached = false;
  mm.mm_mt.push(a, b);
  return { m, mm, a, b };
}

t.test('giving the mmap write lock back, or turning it into a read lock, ends all vma write locks', (t) => {
  const { m, mm, a, b } = build();
  run_task(m, function* () {
    yield* mmap_write_lock(m, mm);
    t.notOk(mmap_read_trylock(m, mm));
    yield* vma_start_write(m, a);
    yield* vma_start_write(m, b);
    vma_assert_write_locked(b);
    t.notOk(vma_start_read(m, a));
    mmap_write_unlock(m, mm);
    t.notOk(__is_vma_write_locked(a));
    t.notOk(__is_vma_write_locked(b));

    yield* mmap_write_lock(m, mm);
    yield* vma_start_write(m, a);
    t.notOk(__is_vma_write_locked(b), 'the old lock does not come back with the mmap lock');
    mmap_write_downgrade(m, mm);
    t.ok(vma_start_read(m, a));
    vma_end_read(m, a);
    t.ok(mmap_read_trylock(m, mm), 'other readers come in');
    mmap_read_unlock(m, mm);
    mmap_read_unlock(m, mm);
  });
  t.end();
});

t.test('a vma writer waits for readers and keeps new ones out', (t) => {
  const { m, mm, a, b } = build();
  const order: string[] = [];
  start_task(m, function* () {
    t.equal(yield* lock_vma_under_rcu(m, mm, BASE + 17), a);
    yield* sched_yield(m);
    t.notOk(vma_start_read(m, a), 'a writer waits');
    t.ok(vma_start_read(m, b), 'for that vma only');
    order.push('reader done');
    vma_end_read(m, b);
    vma_end_read(m, a);
  });
  start_task(m, function* () {
    yield* mmap_write_lock(m, mm);
    yield* vma_start_write(m, a);
    order.push('writer');
    mmap_write_unlock(m, mm);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(order, ['reader done', 'writer']);
  t.equal(a.vm_readers, 0);
  t.end();
});

t.test('SIGKILL ends the wait for readers, and for the mmap lock, with -EINTR', (t) => {
  const { m, mm, a } = build();
  const answers: number[] = [];
  t.ok(vma_start_read(m, a));
  const writer = start_task(m, function* () {
    yield* mmap_write_lock(m, mm);
    answers.push(yield* vma_start_write_killable(m, a));
    t.notOk(__is_vma_write_locked(a));
    yield* sched_yield(m);
    mmap_write_unlock(m, mm);
  });
  const reader = start_task(m, function* () {
    answers.push(yield* mmap_read_lock_killable(m, mm));
  });
  start_task(m, function* () {
    send_sig(m, SIGKILL, writer);
    send_sig(m, SIGKILL, reader);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(answers, [-EINTR, -EINTR]);
  t.ok(vma_start_read(m, a), 'readers may come in again');
  t.end();
});

t.test('no reader gets a vma that is not there, detached or being written to', (t) => {
  const { m, mm, a, b } = build();
  run_task(m, function* () {
    t.equal(yield* lock_vma_under_rcu(m, mm, BASE + PAGE), null, 'the gap');
    yield* mmap_write_lock(m, mm);
    yield* vma_start_write(m, b);
    t.equal(yield* lock_vma_under_rcu(m, mm, BASE + 2 * PAGE), null);
    vma_mark_detached(b);
    mmap_write_unlock(m, mm);
    t.equal(yield* lock_vma_under_rcu(m, mm, BASE + 2 * PAGE), null);
    t.notOk(vma_start_read_locked(m, b));
    yield* mmap_read_lock(m, mm);
    t.ok(vma_start_read_locked(m, a));
    t.equal(a.vm_readers, 1);
    vma_end_read(m, a);
    mmap_read_unlock(m, mm);
  });
  t.end();
});

t.test('the assertions hold who breaks the rules', (t) => {
  const { m, mm, a } = build();
  t.throws(() => mmap_assert_locked(mm), Oops);
  t.throws(() => vma_assert_write_locked(a), Oops);
  t.throws(() => vma_mark_attached(a), Oops);
  t.throws(() => vma_mark_detached(a), Oops);
  t.throws(() => vma_end_read(m, a), Oops);
  run_task(m, function* () {
    yield* mmap_read_lock(m, mm);
    mmap_assert_locked(mm);
    t.throws(() => mmap_assert_write_locked(mm), Oops);
    mmap_read_unlock(m, mm);
  });
  t.end();
});

t.test('lock_next_vma() takes the mmap lock for a vma that is write-locked', (t) => {
  const { m, mm, a, b } = build();
  const order: unknown[] = [];
  start_task(m, function* () {
    t.equal(yield* lock_next_vma(m, mm, BASE), a);
    vma_assert_locked(a);
    vma_end_read(m, a);
    t.throws(() => vma_assert_locked(a), Oops);
    t.equal(yield* lock_next_vma(m, mm, b.vm_end), null);
    yield* mmap_write_lock(m, mm);
    yield* vma_start_write(m, b);
    vma_assert_locked(b);
    yield* sched_yield(m);
    order.push('writer done');
    mmap_write_unlock(m, mm);
  });
  start_task(m, function* () {
    order.push((yield* lock_next_vma(m, mm, a.vm_end))?.vm_start);
    vma_end_read(m, b);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(order, ['writer done', b.vm_start]);
  t.equal(b.vm_readers, 0);
  t.equal(mm.mmap_lock.readers.length, 0);
  t.end();
});
