// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { kernel_wait4 } from './exit.ts';
import { kernel_clone } from './fork/fork.ts';
import { sigmask, sys_kill, sys_pause, UserExit, UserSignal } from './signal.ts';
import { run_process, small_machine } from './testing.ts';

const [SIGTERM, EINTR, EINVAL, ESRCH, ERESTARTNOHAND] = [15, -4, -22, -3, -514];
const [PAUSE, KILL] = [34, 62];

t.test('a handler runs and the call that it interrupted answers EINTR', (t) => {
  const m = small_machine();
  const seen: number[] = [];
  t.equal(
    run_process(m, function* () {
      const me = m.current.pid;
      m.current.handlers.set(SIGTERM, function* (sig: number) {
        seen.push(sig);
      });
      yield* kernel_clone(m, 0, function* () {
        yield* do_syscall_64(m, KILL, me, SIGTERM);
      });
      t.equal(yield* do_syscall_64(m, PAUSE), EINTR);
    }),
    0,
  );
  t.same(seen, [SIGTERM]);
  t.end();
});

t.test('an ignored signal does nothing, the default is to end', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      m.current.handlers.set(SIGTERM, 'ignore');
      t.equal(yield* do_syscall_64(m, KILL, m.current.pid, SIGTERM), 0);
      return 5;
    }),
    5 << 8,
  );
  t.equal(
    run_process(m, function* () {
      yield* do_syscall_64(m, KILL, m.current.pid, SIGTERM);
      t.fail('it does not return');
    }),
    SIGTERM,
  );
  t.end();
});

t.test('kill reaches a process, a group, or everybody else', (t) => {
  const m = small_machine();
  const INT_MIN = -(2 ** 31);
  t.equal(
    run_process(m, function* () {
      const pause = function* () {
        for (;;) yield* do_syscall_64(m, PAUSE);
      };
      const child = yield* kernel_clone(m, 0, pause);
      t.equal(sys_kill(m, child, 99), EINVAL);
      t.equal(sys_kill(m, child, 0), 0);
      t.equal(sys_kill(m, 4711, 99), ESRCH, 'the process is looked for first');
      t.equal(sys_kill(m, 0, 0), 0);
      t.equal(sys_kill(m, -m.current.pgid, 99), EINVAL);
      t.equal(sys_kill(m, -4711, SIGTERM), ESRCH);
      t.equal(sys_kill(m, INT_MIN, SIGTERM), ESRCH);
      t.equal(sys_kill(m, -1, 99), EINVAL);
      t.equal(sys_kill(m, -1, 0), 0);
      t.equal(sys_kill(m, -1, SIGTERM), 0);
      t.same(yield* kernel_wait4(m, 0, 0), { pid: child, status: SIGTERM });
      t.equal(sys_kill(m, -1, SIGTERM), 0, 'kernel threads are always there');
    }),
    0,
  );
  t.end();
});

t.test('pause answers EINTR after a handler', (t) => {
  const m = small_machine();
  run_process(m, function* () {
    m.current.handlers.set(SIGTERM, function* () {});
    m.current.pending |= sigmask(SIGTERM);
    t.equal(yield* sys_pause(m), ERESTARTNOHAND);
    t.equal(yield* do_syscall_64(m, PAUSE), EINTR);
  });
  t.end();
});

t.test('what tells of signals says which', (t) => {
  t.equal(sigmask(1), 1);
  t.equal(sigmask(9), 256);
  t.match(new UserSignal(11, 0x1000).message, /signal 11 at address 0x1000/);
  t.equal(new UserExit(256).status, 256);
  t.end();
});
