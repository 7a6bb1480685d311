// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import { small_machine } from './testing.ts';

const [POLLIN, ESRCH, EINVAL] = [1, 3, 22];

t.test('a pidfd becomes readable when its process exits', (t) => {
  const m = small_machine();
  runProgram(m, function* (c) {
    const pid = yield* c.fork(function* (child) { yield* child.nanosleep(5000); });
    const fd = yield* c.pidfd_open(pid, 0);
    const list = [{ fd, events: POLLIN, revents: 0 }];
    t.equal(yield* c.poll(list, 0), 0);
    t.equal(yield* c.poll(list, -1), 1);
    t.equal((list[0]?.revents ?? 0) & POLLIN, POLLIN);
    t.equal((yield* c.waitpid(pid)).pid, pid);
    t.equal(yield* c.pidfd_open(pid, 0), -1);
    t.equal(c.errno, ESRCH);
    t.equal(yield* c.pidfd_open(1, 1), -1);
    t.equal(c.errno, EINVAL);
    return 0;
  });
  t.end();
});
