// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { do_sys_open } from '../fs/open.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import { sched_yield } from '../kernel/sched/syscalls.ts';
import { sys_munmap } from '../mm/mmap/mmap.ts';
import { sys_mprotect } from '../mm/mprotect.ts';
import { load_words } from '../mm/testing.ts';
import { BUF, counts, dev, MIRROR, run_dmirror, snapshot } from './testing.ts';

// From test_hmm_uapi.h, declared again.
const [READ, WRITE, TO_DEV, SNAPSHOT, READ_UNLOCKED] = [0, 1, 2, 4, 9].map((nr) => 0xc0284800 + nr);
const [EPERM, EFAULT, EINVAL] = [-1, -14, -22];
const PAGE = 4096;

t.test('a read faults in what the mirror lacks, once for all of it, and not again', (t) => {
  run_dmirror(t, 70, function* (m, fd) {
    for (const read of [READ, READ_UNLOCKED]) {
      yield* sys_mprotect(m, BUF, 70 * PAGE, 1);
      yield* sys_mprotect(m, BUF, 70 * PAGE, 3);
      t.equal(yield* dev(m, fd, read, 70), 0);
      t.same(yield* counts(m), [70, 1], '32 at a time is one fault still');
      t.equal((yield* load_words(m, MIRROR, 70))[69], 169);
      t.equal(yield* dev(m, fd, read, 70), 0);
      t.same(yield* counts(m), [70, 0]);
    }
    yield* sys_mmap(m, BUF + 40 * PAGE, PAGE, 3, 0x32, -1, 0);
    t.equal(yield* dev(m, fd, READ, 70), 0);
    t.same(yield* counts(m), [70, 1], 'only what was unmapped is gone');
    t.same((yield* load_words(m, MIRROR, 70)).slice(39, 42), [139, 0, 141]);
  });
  t.end();
});

t.test("reading untouched memory maps the page of zeroes, writing makes a page of one's own", (t) => {
  run_dmirror(t, 0, function* (m, fd) {
    t.same(yield* snapshot(t, m, fd, 2), [0, 0], 'a snapshot faults nothing in');
    t.equal(yield* dev(m, fd, READ, 2), 0);
    t.same(yield* snapshot(t, m, fd, 2), [0x11, 0x11]);
    yield* user_store32(m, MIRROR, 77);
    t.equal(yield* dev(m, fd, WRITE, 1), 0);
    t.same(yield* counts(m), [1, 1], 'what is mapped to read must be faulted in for writing');
    t.same(yield* snapshot(t, m, fd, 2), [0x02, 0x11]);
    t.equal(yield* user_load32(m, BUF), 77);
    yield* user_store32(m, BUF, 78);
    t.equal(yield* dev(m, fd, READ, 1), 0);
    t.equal(yield* user_load32(m, MIRROR), 78, 'both work on one page');
  });
  t.end();
});

t.test('rights of the mapping are those of the device', (t) => {
  run_dmirror(t, 4, function* (m, fd) {
    t.equal(yield* dev(m, fd, WRITE, 2), 0);
    yield* sys_mprotect(m, BUF, PAGE, 1);
    t.same(yield* snapshot(t, m, fd, 2), [0x01, 0x02]);
    t.equal(yield* dev(m, fd, WRITE, 1), EPERM, 'the mirror forgot what it was allowed');
    t.equal(yield* dev(m, fd, READ, 1), 0);
    yield* sys_mprotect(m, BUF, PAGE, 0);
    t.equal(yield* dev(m, fd, READ, 1), EFAULT);
    t.same(yield* snapshot(t, m, fd, 2), [0xff, 0x02]);
    t.equal(yield* sys_munmap(m, BUF + PAGE, PAGE), 0);
    t.same(yield* snapshot(t, m, fd, 4), [0xff, 0xff, 0x02, 0x02]);
    t.equal(yield* dev(m, fd, READ, 1, BUF + PAGE), EFAULT);
  });
  t.end();
});

t.test('a write that fails half way has written the pages before', (t) => {
  run_dmirror(t, 3, function* (m, fd) {
    yield* sys_mprotect(m, BUF + 2 * PAGE, PAGE, 1);
    for (let i = 0; i < 3; i++) yield* user_store32(m, MIRROR + i * PAGE, 500 + i);
    t.equal(yield* dev(m, fd, WRITE, 2), 0);
    for (let i = 0; i < 3; i++) yield* user_store32(m, MIRROR + i * PAGE, 600 + i);
    t.equal(yield* dev(m, fd, WRITE, 3), EPERM);
    t.same(yield* load_words(m, BUF, 3), [600, 601, 102]);
  });
  t.end();
});

t.test('a snapshot tells which pages are on the device, for more than 32 at a time', (t) => {
  run_dmirror(t, 40, function* (m, fd) {
    const other = yield* do_sys_open(m, '/dev/hmm_dmirror1', 2, 0);
    t.equal(yield* dev(m, fd, TO_DEV, 2, BUF + 31 * PAGE), 0);
    const expected: number[] = Array.from({ length: 40 }, () => 0x02);
    expected[31] = expected[32] = 0x22;
    t.same(yield* snapshot(t, m, fd, 40), expected);
    t.equal((yield* counts(m))[0], 40);
    expected[31] = expected[32] = 0;
    t.same(yield* snapshot(t, m, other, 40), expected, 'the private pages of another device are none');
    t.equal(yield* dev(m, other, READ, 1, BUF + 31 * PAGE), 0, 'another device reads it by bringing it back');
    t.equal(yield* user_load32(m, MIRROR), 131);
    t.same(yield* snapshot(t, m, fd, 2, BUF + 31 * PAGE), [0x02, 0x22]);
  });
  t.end();
});

t.test('a mirror is of the process that opened it, also in a child, and fails once that is gone', (t) => {
  run_dmirror(t, 2, function* (m, fd) {
    const parent = m.current;
    yield* kernel_clone(m, 0, function* () {
      yield* user_store32(m, BUF, 999);
      t.equal(yield* dev(m, fd, READ, 1), 0);
      t.equal(yield* user_load32(m, MIRROR), 100, 'what the parent has there');
      while (parent.mm !== null) yield* sched_yield(m);
      t.equal(yield* dev(m, fd, READ, 1), EFAULT);
      t.equal(yield* dev(m, fd, WRITE, 1), EFAULT);
      t.equal(yield* dev(m, fd, READ_UNLOCKED, 1), EFAULT);
      t.equal(yield* dev(m, fd, SNAPSHOT, 1), EINVAL);
      t.equal(yield* dev(m, fd, TO_DEV, 1), EINVAL);
    });
    yield* sched_yield(m);
  });
  t.end();
});
