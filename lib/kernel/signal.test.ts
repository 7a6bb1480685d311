// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import { small_machine } from './testing.ts';
import { UserExit, UserSignal, sigmask, sys_kill } from './signal.ts';

const [SIGTERM, EINTR, EINVAL, ESRCH] = [15, 4, 22, 3];

t.test('a handler runs and the call that it interrupted answers EINTR', (t) => {
  const m = small_machine();
  const seen: number[] = [];
  runProgram(m, function* (c) {
    const me = c.getpid();
    c.sigaction(SIGTERM, function* (sig) { seen.push(sig); });
    yield* c.fork(function* (child) { yield* child.kill(me, SIGTERM); });
    t.equal(yield* c.pause(), -1);
    t.equal(c.errno, EINTR);
    return 0;
  });
  t.same(seen, [SIGTERM]);
  t.end();
});

t.test('an ignored signal does nothing', (t) => {
  const m = small_machine();
  const status = runProgram(m, function* (c) {
    c.sigaction(SIGTERM, 'ignore');
    yield* c.kill(c.getpid(), SIGTERM);
    return 5;
  });
  t.equal(status, 5 << 8);
  t.end();
});

t.test('kill checks the signal number before the process', (t) => {
  const m = small_machine();
  t.equal(sys_kill(m, 1, 99), -EINVAL);
  t.equal(sys_kill(m, 4711, SIGTERM), -ESRCH);
  t.equal(sigmask(1), 1);
  t.equal(sigmask(9), 256);
  t.match(new UserSignal(11, 0x1000).message, /signal 11 at address 0x1000/);
  t.equal(new UserExit(256).status, 256);
  t.end();
});
