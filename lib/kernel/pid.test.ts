// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_poll } from '../fs/poll.ts';
import { kernel_wait4 } from './exit.ts';
import { kernel_clone } from './fork/fork.ts';
import { sys_pidfd_open } from './pid.ts';
import { TASK_INTERRUPTIBLE } from './sched/core.ts';
import { sched_yield } from './sched/syscalls.ts';
import { run_process, small_machine } from './testing.ts';
import { schedule_timeout } from './time/sleep_timeout.ts';

const [POLLIN, ESRCH, EINVAL] = [1, -3, -22];
const [CHILD, THREAD] = [0, 0x10500];

t.test('a pidfd becomes readable when its process exits', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const pid = yield* kernel_clone(m, CHILD, function* () {
        yield* schedule_timeout(m, 5000, TASK_INTERRUPTIBLE);
      });
      const fd = sys_pidfd_open(m, pid, 0);
      const list = [{ fd, events: POLLIN, revents: 0 }];
      t.equal(yield* do_poll(m, list, 0), 0);
      t.equal(yield* do_poll(m, list, -1), 1);
      t.equal(list[0].revents & POLLIN, POLLIN);
      t.ok(sys_pidfd_open(m, pid, 0) > fd, 'as long as it is not waited for');
      t.same(yield* kernel_wait4(m, pid, 0), { pid, status: 0 });
      t.equal(sys_pidfd_open(m, pid, 0), ESRCH);
      t.equal(sys_pidfd_open(m, m.current.pid, 1), EINVAL);
      t.equal(sys_pidfd_open(m, 0, 0), EINVAL);
      let done = false;
      const tid = yield* kernel_clone(m, THREAD, function* () {
        while (!done) yield* sched_yield(m);
      });
      t.equal(sys_pidfd_open(m, tid, 0), EINVAL, 'a thread');
      done = true;
    }),
    0,
  );
  t.end();
});
