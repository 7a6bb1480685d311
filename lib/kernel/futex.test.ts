// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { user_load32, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import { CLONE_FILES, CLONE_THREAD, CLONE_VM, kernel_clone } from './fork/fork.ts';
import { run_process, small_machine } from './testing.ts';

const FUTEX = 202;
const [WAIT, WAKE, CMP_REQUEUE, PRIVATE] = [0, 1, 4, 128];
const [EAGAIN, EFAULT, EINVAL, ENOSYS, ETIMEDOUT] = [-11, -14, -22, -38, -110];
const WORD = 0x7ffffffff000 - 4096;
const OTHER = WORD + 64;
const SPEC = WORD + 128;
const THREAD = CLONE_VM | CLONE_FILES | CLONE_THREAD;

t.test('a futex that has another value, an odd or a bad address and an unknown command are errors', async (t) => {
  const m = small_machine();
  run_process(m, function* () {
    yield* user_store32(m, WORD, 7);
    t.equal(yield* do_syscall_64(m, FUTEX, WORD, WAIT, 6), EAGAIN);
    t.equal(yield* do_syscall_64(m, FUTEX, WORD + 2, WAIT, 7), EINVAL);
    t.equal(yield* do_syscall_64(m, FUTEX, 0x10000, WAIT, 7), EFAULT);
    t.equal(yield* do_syscall_64(m, FUTEX, WORD, 99, 7), ENOSYS);
    t.equal(yield* do_syscall_64(m, FUTEX, WORD, WAKE | PRIVATE, 1), 0, 'nobody waits');
  });
});

t.test('a wait ends at its timeout in modelled time', async (t) => {
  const m = small_machine();
  run_process(m, function* () {
    yield* user_store64(m, SPEC, 2);
    yield* user_store64(m, SPEC + 8, 0);
    const before = m.sched.now;
    t.equal(yield* do_syscall_64(m, FUTEX, WORD, WAIT | PRIVATE, 0, SPEC), ETIMEDOUT);
    t.ok(m.sched.now - before >= 2e9);
    t.same(m.futex.queue, [], 'nobody waits any more');
  });
});

t.test('a wake ends as many waits as it says, the longest first, and a requeue moves the rest', async (t) => {
  const m = small_machine();
  run_process(m, function* () {
    for (let k = 0; k < 3; k++) {
      yield* kernel_clone(m, THREAD, function* () {
        t.equal(yield* do_syscall_64(m, FUTEX, WORD, WAIT | PRIVATE, 0), 0);
        yield* user_store32(m, OTHER + 4, (yield* user_load32(m, OTHER + 4)) * 10 + k + 1);
      });
    }
    yield* do_syscall_64(m, 24);
    t.equal(m.futex.queue.length, 3);
    t.equal(yield* do_syscall_64(m, FUTEX, WORD, CMP_REQUEUE | PRIVATE, 1, 5, OTHER, 9), EAGAIN, 'the value is not 9');
    t.equal(yield* do_syscall_64(m, FUTEX, WORD, CMP_REQUEUE | PRIVATE, 1, 5, OTHER, 0), 3, 'one woken, two moved');
    t.equal(yield* do_syscall_64(m, FUTEX, WORD, WAKE | PRIVATE, 5), 0);
    t.equal(yield* do_syscall_64(m, FUTEX, OTHER, WAKE | PRIVATE, 1), 1);
    t.equal(yield* do_syscall_64(m, FUTEX, OTHER, WAKE | PRIVATE, 5), 1);
    yield* do_syscall_64(m, 24);
    t.equal(yield* user_load32(m, OTHER + 4), 123);
  });
});
