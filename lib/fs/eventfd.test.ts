// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_load64, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { do_eventfd } from './eventfd.ts';
import { do_poll } from './poll.ts';
import { ksys_read, ksys_write } from './read_write.ts';

const BUF = 0x300000000;
const [SEMAPHORE, NONBLOCK] = [1, 0o4000];
const [EINTR, EAGAIN, EFAULT, EINVAL] = [-4, -11, -14, -22];
const [POLLIN, POLLOUT, POLLERR] = [1, 4, 8];
const [SYS_read, SYS_kill, SIGUSR1] = [0, 62, 10];

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 4096, 3, 0x31, -1, 0);
    yield* body(m);
  });
}

function* add(m: Machine, fd: number, low: number, high = 0): Gen<number> {
  yield* user_store32(m, BUF, low);
  yield* user_store32(m, BUF + 4, high);
  return yield* ksys_write(m, fd, BUF, 8);
}

t.test('a read takes all of the count, or one of a semaphore', (t) => {
  run(function* (m) {
    t.equal(do_eventfd(m, 0, 2), EINVAL);
    const fd = do_eventfd(m, 5, NONBLOCK);
    t.equal(yield* add(m, fd, 7), 8);
    t.equal(yield* ksys_read(m, fd, BUF, 7), EINVAL);
    t.equal(yield* ksys_read(m, fd, BUF, 4096), 8, 'a larger buffer will do');
    t.equal(yield* user_load64(m, BUF), 12);
    t.equal(yield* ksys_read(m, fd, BUF, 8), EAGAIN);

    const sem = do_eventfd(m, 2, NONBLOCK | SEMAPHORE);
    t.same([yield* ksys_read(m, sem, BUF, 8), yield* user_load64(m, BUF)], [8, 1]);
    t.equal(yield* ksys_read(m, sem, BUF, 8), 8);
    t.equal(yield* ksys_read(m, sem, BUF, 8), EAGAIN);

    const lost = do_eventfd(m, 3, NONBLOCK);
    t.equal(yield* ksys_read(m, lost, 0x1000, 8), EFAULT);
    t.equal(yield* ksys_read(m, lost, BUF, 8), EAGAIN, 'a read that faults has taken the count');
  });
  t.end();
});

t.test('the count ends below 2^64 - 1, of which poll tells', (t) => {
  run(function* (m) {
    const fd = do_eventfd(m, 0, NONBLOCK);
    const poll = function* (): Gen<number> {
      const list = [{ fd, events: POLLIN | POLLOUT, revents: 0 }];
      yield* do_poll(m, list, 0);
      return list[0].revents;
    };
    t.equal(yield* poll(), POLLOUT);
    t.equal(yield* add(m, fd, 0xffffffff, 0xffffffff), EINVAL);
    yield* user_store64(m, BUF, 1);
    t.equal(yield* ksys_write(m, fd, BUF, 4), EINVAL);
    t.equal(yield* ksys_write(m, fd, BUF, 16), EINVAL, 'not even a longer one');
    t.equal(yield* ksys_write(m, fd, 0x1000, 8), EFAULT);
    t.equal(yield* add(m, fd, 0xfffffffd, 0xffffffff), 8);
    t.equal(yield* poll(), POLLIN | POLLOUT);
    t.equal(yield* add(m, fd, 1), 8);
    t.equal(yield* poll(), POLLIN, 'full');
    t.equal(yield* add(m, fd, 1), EAGAIN);
    t.equal(yield* add(m, fd, 0), 8, 'nothing fits');
    t.equal(yield* ksys_read(m, fd, BUF, 8), 8);
    t.same([yield* user_load32(m, BUF), yield* user_load32(m, BUF + 4)], [0xfffffffe, 0xffffffff]);
    t.equal((yield* poll()) & POLLERR, 0);
  });
  t.end();
});

t.test('reader and writer wait for each other', (t) => {
  const order: string[] = [];
  run(function* (m) {
    const fd = do_eventfd(m, 0, 0);
    yield* kernel_clone(m, 0, function* () {
      order.push('add');
      t.equal(yield* add(m, fd, 0xfffffffe, 0xffffffff), 8);
      t.equal(yield* add(m, fd, 9), 8);
      order.push('added 9');
    });
    t.equal(yield* ksys_read(m, fd, BUF + 8, 8), 8, 'waits for the child');
    t.equal(yield* user_load32(m, BUF + 8), 0xfffffffe);
    order.push('read');
    t.equal(yield* ksys_read(m, fd, BUF + 8, 8), 8);
    t.equal(yield* user_load32(m, BUF + 8), 9);
  });
  t.same(order, ['add', 'read', 'added 9'], 'the second addition did not fit before the read');
  t.end();
});

t.test('a signal that is handled ends the wait', (t) => {
  run(function* (m) {
    const fd = do_eventfd(m, 0, 0);
    const reader = m.current;
    let handled = 0;
    reader.handlers.set(SIGUSR1, function* (): Gen<void> {
      handled++;
    });
    yield* kernel_clone(m, 0, function* () {
      t.equal(yield* do_syscall_64(m, SYS_kill, reader.pid, SIGUSR1), 0);
    });
    yield* user_store64(m, BUF, 1);
    t.equal(yield* do_syscall_64(m, SYS_read, fd, BUF, 8), EINTR);
    t.equal(handled, 1);
  });
  t.end();
});
