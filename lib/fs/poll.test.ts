// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { wait_queue_head } from '../kernel/sched/wait.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { do_eventfd } from './eventfd.ts';
import { vfs_register_file } from './namei.ts';
import { do_sys_open } from './open.ts';
import { do_poll, do_sys_poll, type pollfd } from './poll.ts';
import { ksys_write } from './read_write.ts';

const BUF = 0x300000000;
const [IN, PRI, OUT, ERR, HUP, NVAL] = [1, 2, 4, 8, 0x10, 0x20];
const [EINTR, EFAULT, EINVAL] = [-4, -14, -22];
const [SYS_poll, SYS_kill, SIGUSR1] = [7, 62, 10];
const MS = 1e6;

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 4096, 3, 0x31, -1, 0);
    yield* body(m);
  });
}

t.test('each descriptor is asked, a negative one is not, and a closed one is counted', (t) => {
  run(function* (m) {
    const plain = yield* do_sys_open(m, '/dev/zero', 0, 0);
    const full = do_eventfd(m, 1, 0);
    const list: pollfd[] = [
      { fd: plain, events: IN | OUT | PRI, revents: 0 },
      { fd: -5, events: IN, revents: 77 },
      { fd: 500, events: 0, revents: 0 },
      { fd: full, events: OUT, revents: 0 },
      { fd: full, events: PRI, revents: 0 },
    ];
    t.equal(yield* do_poll(m, list, -1), 3);
    t.same(
      list.map((p) => p.revents),
      [IN | OUT, 0, NVAL, OUT, 0],
      'a file without a poll of its own is ready',
    );
    t.equal(yield* do_poll(m, [], 0), 0);
    vfs_register_file(m, '/sys/kernel/debug/broken', 0o600, {
      poll: () => ({ mask: IN | ERR | HUP, wait: new wait_queue_head('broken') }),
    });
    const broken = [{ fd: yield* do_sys_open(m, '/sys/kernel/debug/broken', 0, 0), events: OUT, revents: 0 }];
    t.equal(yield* do_poll(m, broken, 0), 1);
    t.equal(broken[0].revents, ERR | HUP, 'which nobody need ask for');
  });
  t.end();
});

t.test('it waits until something happens, or for as long as it may', (t) => {
  run(function* (m) {
    const [a, b] = [do_eventfd(m, 0, 0), do_eventfd(m, 0, 0)];
    const list: pollfd[] = [
      { fd: a, events: IN, revents: 0 },
      { fd: b, events: IN, revents: 0 },
    ];
    const start = m.sched.now;
    t.equal(yield* do_poll(m, list, 0), 0);
    t.equal(m.sched.now, start, 'no time passed');
    t.equal(yield* do_poll(m, list, 3 * MS), 0);
    t.equal(m.sched.now, start + 3 * MS);
    yield* kernel_clone(m, 0, function* () {
      yield* user_store64(m, BUF, 1);
      yield* ksys_write(m, b, BUF, 8);
    });
    t.equal(yield* do_poll(m, list, 1000 * MS), 1);
    t.same(
      list.map((p) => p.revents),
      [0, IN],
    );
    t.ok(m.sched.now < start + 1000 * MS, 'before the time was over');
  });
  t.end();
});

t.test('the array of the system call', (t) => {
  run(function* (m) {
    const fd = do_eventfd(m, 0, 0);
    yield* user_store32(m, BUF, fd);
    yield* user_store32(m, BUF + 4, OUT | (0xffff << 16));
    yield* user_store32(m, BUF + 8, 300);
    yield* user_store32(m, BUF + 12, IN);
    t.equal(yield* do_sys_poll(m, BUF, 2, -1), 2);
    t.equal(yield* user_load32(m, BUF + 4), OUT | (OUT << 16), 'revents stands above events');
    t.equal(yield* user_load32(m, BUF + 12), IN | (NVAL << 16));
    t.equal(yield* do_sys_poll(m, 0x1000, 1, 0), EFAULT);
    t.equal(yield* do_sys_poll(m, BUF + 4096 - 8, 2, 0), EFAULT);
    t.equal(yield* do_sys_poll(m, 0x1000, 1025, 0), EINVAL, 'more than a process can have open');
    const before = m.sched.now;
    t.equal(yield* do_sys_poll(m, 0, 0, 2), 0, 'a way to sleep');
    t.equal(m.sched.now, before + 2 * MS);
  });
  t.end();
});

t.test('a signal ends the wait', (t) => {
  run(function* (m) {
    const fd = do_eventfd(m, 0, 0);
    const poller = m.current;
    poller.handlers.set(SIGUSR1, function* (): Gen<void> {
      t.equal(m.current, poller);
    });
    yield* user_store32(m, BUF, fd);
    yield* user_store32(m, BUF + 4, IN);
    yield* kernel_clone(m, 0, function* () {
      t.equal(yield* do_syscall_64(m, SYS_kill, poller.pid, SIGUSR1), 0);
    });
    t.equal(yield* do_syscall_64(m, SYS_poll, BUF, 1, -1), EINTR);
  });
  t.end();
});
