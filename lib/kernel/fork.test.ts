// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import { WEXITSTATUS, WIFSIGNALED, WTERMSIG } from '../../harness/uapi.ts';
import { audit } from '../audit.ts';
import { small_machine } from './testing.ts';

const [PROT_RW, ANON_PRIVATE, ANON_SHARED] = [3, 0x22, 0x21];

t.test('a child has its own copy of private memory and shares shared memory', (t) => {
  const m = small_machine();
  const status = runProgram(m, function* (c) {
    const own = yield* c.mmap(0, 4096, PROT_RW, ANON_PRIVATE, -1, 0);
    const both = yield* c.mmap(0, 4096, PROT_RW, ANON_SHARED, -1, 0);
    yield* c.store32(own, 1);
    yield* c.store32(both, 1);
    const pid = yield* c.fork(function* (child) {
      t.equal(yield* child.load32(own), 1);
      yield* child.store32(own, 2);
      yield* child.store32(both, 2);
      return 7;
    });
    const { status } = yield* c.waitpid(pid);
    t.equal(WEXITSTATUS(status), 7);
    t.same([yield* c.load32(own), yield* c.load32(both)], [1, 2]);
    return 0;
  });
  t.equal(status, 0);
  t.same(audit(m), []);
  t.end();
});

t.test('threads share memory and descriptors', (t) => {
  const m = small_machine();
  runProgram(m, function* (c) {
    const p = yield* c.mmap(0, 4096, PROT_RW, ANON_PRIVATE, -1, 0);
    let fd = -1;
    const thread = yield* c.pthread_create(function* (other) {
      yield* other.store32(p, 42);
      fd = yield* other.open('/dev/null', 2);
    });
    t.equal(yield* c.pthread_join(thread), 0);
    t.equal(yield* c.load32(p), 42);
    t.equal(yield* c.close(fd), 0);
    return 0;
  });
  t.same(audit(m), []);
  t.end();
});

t.test('an access outside of any mapping kills the process with SIGSEGV', (t) => {
  const m = small_machine();
  const status = runProgram(m, function* (c) {
    yield* c.load32(0x1000);
    return 0;
  });
  t.ok(WIFSIGNALED(status));
  t.equal(WTERMSIG(status), 11);
  t.same(audit(m), []);
  t.end();
});
