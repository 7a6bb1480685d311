// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { user_load64, user_store64 } from '../../arch/x86/mm/uaccess.ts';
import { sys_kill } from '../signal.ts';
import { run_process, small_machine } from '../testing.ts';

const [NANOSLEEP, SIGALRM, EINTR, EFAULT] = [35, 14, 4, 14];
const STACK = 0x7ffffffff000 - 4096;

t.test('a sleep takes modelled time, not ours', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const before = m.sched.now;
      yield* user_store64(m, STACK, 3);
      yield* user_store64(m, STACK + 8, 1000);
      t.equal(yield* do_syscall_64(m, NANOSLEEP, STACK), 0);
      t.ok(m.sched.now - before >= 3e9 + 1000);
    }),
    0,
  );
  t.end();
});

t.test('a signal with a handler ends a sleep, which says what was left', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const sleeper = m.current;
      const handled: number[] = [];
      sleeper.handlers.set(SIGALRM, function* (sig: number) {
        handled.push(sig);
      });
      yield* user_store64(m, STACK, 5);
      yield* user_store64(m, STACK + 8, 7);
      m.sched.timer(2e9, () => sys_kill(m, sleeper.pid, SIGALRM));
      t.equal(yield* do_syscall_64(m, NANOSLEEP, STACK, STACK + 16), -EINTR);
      t.same(handled, [SIGALRM]);
      const left = (yield* user_load64(m, STACK + 16)) * 1e9 + (yield* user_load64(m, STACK + 24));
      t.ok(left < 3e9 + 1000 && left > 2.99e9, `${left} ns of 3 s`);
      m.sched.timer(2e9, () => sys_kill(m, sleeper.pid, SIGALRM));
      t.equal(yield* do_syscall_64(m, NANOSLEEP, STACK, 0), -EINTR, 'nobody asked');
      m.sched.timer(2e9, () => sys_kill(m, sleeper.pid, SIGALRM));
      t.equal(yield* do_syscall_64(m, NANOSLEEP, STACK, 0x1000), -EFAULT);
    }),
    0,
  );
  t.end();
});
