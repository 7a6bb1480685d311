// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { user_load32, user_memset, user_read_bytes, user_write_bytes } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { map_anon } from '../mm/testing.ts';
import { fd_install, get_unused_fd_flags } from './file.ts';
import { ksys_close } from './open.ts';
import { do_pipe2, outside_pipe } from './pipe.ts';
import { ksys_read, ksys_write } from './read_write.ts';

const MAP = 0x200000000;
const PAGE = 4096;
const O_NONBLOCK = 0o4000;
const [EAGAIN, EFAULT, EINVAL] = [-11, -14, -22];
const SIGPIPE = 13;
const WRITE = 1;

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 64);
    yield* body(m);
  });
}

/** The ends to read from and to write to. */
function* new_pipe(m: Machine, flags = 0): Gen<[number, number]> {
  t.equal(yield* do_pipe2(m, MAP, flags), 0);
  return [yield* user_load32(m, MAP), yield* user_load32(m, MAP + 4)];
}

t.test('what is written is read in order, in pieces, and ends with the last writer', async () => {
  run(function* (m) {
    const [from, to] = yield* new_pipe(m);
    yield* user_write_bytes(m, MAP, Uint8Array.of(1, 2, 3, 4, 5));
    t.equal(yield* ksys_write(m, to, MAP, 3), 3);
    t.equal(yield* ksys_write(m, to, MAP + 3, 2), 2);
    t.equal(yield* ksys_read(m, from, MAP + 100, 4), 4);
    t.equal(yield* ksys_read(m, from, MAP + 104, 4), 1);
    t.same([...(yield* user_read_bytes(m, MAP + 100, 5))], [1, 2, 3, 4, 5]);
    yield* ksys_close(m, to);
    t.equal(yield* ksys_read(m, from, MAP, 4), 0);
    yield* ksys_close(m, from);
  });
});

t.test('a reader waits for a writer, and a writer for room', async () => {
  run(function* (m) {
    const [from, to] = yield* new_pipe(m);
    const pid = yield* kernel_clone(m, 0, function* () {
      yield* user_memset(m, MAP, 7, 20 * PAGE);
      t.equal(yield* ksys_write(m, to, MAP, 20 * PAGE), 20 * PAGE, 'more than the pipe holds');
    });
    let read = 0;
    while (read < 20 * PAGE) read += yield* ksys_read(m, from, MAP + 30 * PAGE, 30 * PAGE);
    t.equal(read, 20 * PAGE);
    yield* kernel_wait4(m, pid, 0);
    for (const fd of [from, to]) yield* ksys_close(m, fd);
  });
});

t.test('an end that does not wait, one without its other end, and bad arguments', async () => {
  run(function* (m) {
    t.equal(yield* do_pipe2(m, MAP, 1), EINVAL);
    const [from, to] = yield* new_pipe(m, O_NONBLOCK);
    t.equal(yield* ksys_read(m, from, MAP, 4), EAGAIN);
    t.equal(yield* ksys_write(m, to, 0x1000, 4), EFAULT);
    t.equal(yield* ksys_write(m, to, MAP, 16 * PAGE), 16 * PAGE);
    t.equal(yield* ksys_write(m, to, MAP, 1), EAGAIN);
    t.equal(yield* ksys_read(m, from, MAP, PAGE), PAGE);
    t.equal(yield* ksys_write(m, to, MAP, PAGE - 1), PAGE - 1);
    t.equal(yield* ksys_write(m, to, MAP, 2), EAGAIN, 'small writes are not split');
    const pid = yield* kernel_clone(m, 0, function* () {
      yield* ksys_close(m, from);
      yield* do_syscall_64(m, WRITE, to, MAP, 1);
    });
    yield* ksys_close(m, from);
    t.match(yield* kernel_wait4(m, pid, 0), { pid, status: SIGPIPE });
    yield* ksys_close(m, to);
  });
});

t.test('a pipe to the outside of the machine', async () => {
  run(function* (m) {
    const got: number[] = [];
    const fd = get_unused_fd_flags(m, 0);
    fd_install(
      m,
      fd,
      outside_pipe(m, 1, (bytes) => got.push(...bytes)),
    );
    yield* user_write_bytes(m, MAP, Uint8Array.of(5, 6));
    t.equal(yield* ksys_write(m, fd, MAP, 2), 2);
    t.same(got, [5, 6]);
    yield* ksys_close(m, fd);
  });
});
