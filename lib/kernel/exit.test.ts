// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import { WEXITSTATUS, WTERMSIG } from '../../harness/uapi.ts';
import { audit } from '../audit.ts';
import { small_machine } from './testing.ts';

const [SIGKILL, SIGTERM, WNOHANG, ECHILD, ESRCH] = [9, 15, 1, 10, 3];

t.test('waitpid answers each child once, then ECHILD', (t) => {
  const m = small_machine();
  runProgram(m, function* (c) {
    const a = yield* c.fork(function* () { return 1; });
    const b = yield* c.fork(function* () { return 2; });
    const got = [yield* c.waitpid(-1), yield* c.waitpid(-1)];
    t.same(got.map((r) => r.pid).sort(), [a, b].sort());
    t.same(got.map((r) => WEXITSTATUS(r.status)).sort(), [1, 2]);
    t.equal((yield* c.waitpid(-1)).pid, -1);
    t.equal(c.errno, ECHILD);
    return 0;
  });
  t.equal(m.zombies.length, 0);
  t.end();
});

t.test('a killed child is waited for with its signal; WNOHANG does not wait', (t) => {
  const m = small_machine();
  runProgram(m, function* (c) {
    const pid = yield* c.fork(function* (child) {
      for (;;) yield* child.pause();
    });
    t.equal((yield* c.waitpid(pid, WNOHANG)).pid, 0);
    t.equal(yield* c.kill(pid, SIGKILL), 0);
    const { status } = yield* c.waitpid(pid);
    t.equal(WTERMSIG(status), SIGKILL);
    t.equal(yield* c.kill(pid, SIGTERM), -1);
    t.equal(c.errno, ESRCH);
    return 0;
  });
  t.same(audit(m), []);
  t.end();
});

t.test('exit of one thread with exit_group ends the others', (t) => {
  const m = small_machine();
  const status = runProgram(m, function* (c) {
    yield* c.pthread_create(function* (other) {
      for (;;) yield* other.pause();
    });
    return yield* c.exit(3);
  });
  t.equal(WEXITSTATUS(status), 3);
  t.end();
});
