// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { audit } from '../audit.ts';
import { kernel_wait4 } from './exit.ts';
import { kernel_clone } from './fork/fork.ts';
import { sched_yield } from './sched/syscalls.ts';
import { run_process, small_machine } from './testing.ts';

const [SIGKILL, SIGTERM, WNOHANG, ECHILD, ESRCH] = [9, 15, 1, -10, -3];
const [PAUSE, KILL, EXIT_GROUP] = [34, 62, 231];
const [CHILD, THREAD] = [0, 0x10500];

t.test('waitpid answers each child once, then ECHILD', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const a = yield* kernel_clone(m, CHILD, function* () {
        return 1;
      });
      const b = yield* kernel_clone(m, CHILD, function* () {
        return 2;
      });
      t.same(
        [yield* kernel_wait4(m, -1, 0), yield* kernel_wait4(m, -1, 0)],
        [
          { pid: a, status: 1 << 8 },
          { pid: b, status: 2 << 8 },
        ],
      );
      for (const pid of [-1, 0, -m.current.pgid, -4711, 4711])
        t.equal(yield* kernel_wait4(m, pid, 0), ECHILD, `${pid}`);
      t.equal(yield* kernel_wait4(m, -(2 ** 31), 0), ESRCH);
    }),
    0,
  );
  t.equal(m.zombies.length, 0);
  t.end();
});

t.test('a killed child is waited for with its signal; WNOHANG does not wait', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const pid = yield* kernel_clone(m, CHILD, function* () {
        for (;;) yield* do_syscall_64(m, PAUSE);
      });
      t.equal(yield* kernel_wait4(m, pid, WNOHANG), 0);
      t.equal(yield* do_syscall_64(m, KILL, pid, SIGKILL), 0);
      t.same(yield* kernel_wait4(m, pid, 0), { pid, status: SIGKILL });
      t.equal(yield* do_syscall_64(m, KILL, pid, SIGTERM), ESRCH);
    }),
    0,
  );
  t.same(audit(m), []);
  t.end();
});

t.test('exit of one thread with exit_group ends the others', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      yield* kernel_clone(m, THREAD, function* () {
        for (;;) yield* do_syscall_64(m, PAUSE);
      });
      yield* do_syscall_64(m, EXIT_GROUP, 3);
      t.fail('it does not return');
    }),
    3 << 8,
  );
  t.end();
});

t.test('nobody has to wait for a child whose parent is gone', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const early = yield* kernel_clone(m, CHILD, function* () {});
      yield* kernel_clone(m, CHILD, function* () {
        const parent = m.current.real_parent;
        while (parent?.exit_state === 'alive') yield* sched_yield(m);
        t.equal(m.current.real_parent, null);
      });
      while (m.zombies.length === 0) yield* sched_yield(m);
      t.same(
        m.zombies.map((x) => x.pid),
        [early],
      );
    }),
    0,
  );
  t.same(m.zombies, []);
  t.end();
});
