// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { do_sys_open } from '../fs/open.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import { sys_munmap } from '../mm/mmap/mmap.ts';
import { load_words } from '../mm/testing.ts';
import type { test_hmm_state } from './dmirror.ts';
import { dmirror_check_atomic } from './migrate.ts';
import { BUF, counts, dev, MIRROR, run_dmirror, snapshot } from './testing.ts';

// From test_hmm_uapi.h, declared again.
const [READ, TO_DEV, TO_SYS, EXCLUSIVE, CHECK_EXCLUSIVE, FLAGS] = [0, 2, 3, 5, 6, 8].map((nr) => 0xc0284800 + nr);
const [EPERM, ENOENT, ENOMEM, EFAULT, EINVAL, EOPNOTSUPP] = [-1, -2, -12, -14, -22, -95];
const PAGE = 4096;

t.test('pages go to the device and come back with what they held; those that were never touched are zeroes', (t) => {
  run_dmirror(t, 2, function* (m, fd) {
    const free = m.zone.nr_free;
    t.equal(yield* dev(m, fd, TO_DEV, 4), 0);
    t.same(yield* counts(m), [4, 0]);
    t.same(yield* load_words(m, MIRROR, 4), [100, 101, 0, 0]);
    t.same(yield* snapshot(t, m, fd, 4), [0x22, 0x22, 0x22, 0x22]);
    t.equal(yield* dev(m, fd, TO_DEV, 4), 0, 'what is there already stays');
    t.equal(yield* dev(m, fd, TO_SYS, 4), 0);
    t.same(yield* counts(m), [4, 0]);
    t.equal(yield* dev(m, fd, TO_SYS, 4), 0);
    t.same(yield* counts(m), [0, 0], 'nothing was left to bring back');
    t.same(yield* load_words(m, BUF, 4), [100, 101, 0, 0]);
    t.ok(m.zone.nr_free < free, 'two pages more, and the mirror');
  });
  t.end();
});

t.test('a hole ends a migration with an error, after what stands before it', (t) => {
  run_dmirror(t, 4, function* (m, fd) {
    yield* sys_munmap(m, BUF + 2 * PAGE, PAGE);
    t.equal(yield* dev(m, fd, TO_DEV, 4), EINVAL);
    t.same(yield* snapshot(t, m, fd, 4), [0x22, 0x22, 0xff, 0x02]);
    t.equal(yield* dev(m, fd, TO_SYS, 4), EINVAL);
    t.same(yield* snapshot(t, m, fd, 4), [0x02, 0x02, 0xff, 0x02]);
    t.same([m.slab.live, m.current.held_locks.length], [0, 0]);
  });
  t.end();
});

t.test('a device neither takes nor brings back the pages of another', (t) => {
  run_dmirror(t, 2, function* (m, fd) {
    const other = yield* do_sys_open(m, '/dev/hmm_dmirror1', 2, 0);
    t.equal(yield* dev(m, fd, TO_DEV, 2), 0);
    t.equal(yield* dev(m, other, TO_DEV, 2), ENOENT, 'it has nothing to show');
    t.equal(yield* dev(m, other, TO_SYS, 2), 0);
    t.same(yield* counts(m), [0, 0]);
    t.same(yield* snapshot(t, m, fd, 2), [0x22, 0x22]);
    t.same(yield* load_words(m, BUF, 2), [100, 101]);
  });
  t.end();
});

t.test('pages that parent and child share move for both, and are copied when one writes', (t) => {
  run_dmirror(t, 2, function* (m, fd) {
    const pid = yield* kernel_clone(m, 0, function* () {
      t.same(yield* load_words(m, BUF, 2), [100, 101], 'from the device');
      yield* user_store32(m, BUF + PAGE, 7);
    });
    t.equal(yield* dev(m, fd, TO_DEV, 2), 0);
    t.same(yield* snapshot(t, m, fd, 2), [0x21, 0x21], 'not to be written');
    yield* kernel_wait4(m, pid, 0);
    t.same(yield* load_words(m, BUF, 2), [100, 101]);
  });
  t.end();
});

t.test('an allocation that fails on the way back is tried again by the CPU, and is an error of the command', (t) => {
  run_dmirror(t, 2, function* (m, fd) {
    t.equal(yield* dev(m, fd, TO_DEV, 2), 0);
    t.equal(yield* dev(m, fd, FLAGS, 1), 0);
    t.equal(yield* dev(m, fd, TO_SYS, 2), ENOMEM);
    t.same(yield* snapshot(t, m, fd, 2), [0x22, 0x22], 'nothing moved');
    t.equal(yield* dev(m, fd, FLAGS, 1), 0);
    t.equal(yield* user_load32(m, BUF), 100);
    t.same(yield* snapshot(t, m, fd, 2), [0x02, 0x22]);
    t.equal(yield* dev(m, fd, TO_SYS, 2), 0);
    t.same(yield* counts(m), [1, 0]);
  });
  t.end();
});

t.test("exclusive pages are the device's until the CPU touches one", (t) => {
  run_dmirror(t, 3, function* (m, fd) {
    t.equal(yield* dev(m, fd, EXCLUSIVE, 3), 0);
    t.same(yield* counts(m), [3, 0]);
    t.same(yield* load_words(m, MIRROR, 3), [100, 101, 102]);
    const mirrors = (m.modules.data.get('test_hmm') as test_hmm_state).dmirrors;
    const d = [...mirrors.values()][0];
    t.same(
      [
        [0, 1],
        [1, 3],
        [3, 4],
      ].map(([a, b]) => dmirror_check_atomic(d, BUF + a * PAGE, BUF + b * PAGE)),
      [EPERM, EPERM, 0],
    );
    t.equal(yield* user_load32(m, BUF), 100);
    t.equal(yield* dev(m, fd, CHECK_EXCLUSIVE, 1), 0);
    t.equal(yield* dev(m, fd, CHECK_EXCLUSIVE, 3), EPERM);
    t.equal(yield* dev(m, fd, READ, 3), 0, 'another use ends it too');
    yield* sys_mmap(m, BUF + 2 * PAGE, PAGE, 3, 0x31, -1, 0);
    t.equal(yield* dev(m, fd, EXCLUSIVE, 3), EOPNOTSUPP, 'shared memory cannot be had');
    yield* sys_munmap(m, BUF + 2 * PAGE, PAGE);
    t.equal(yield* dev(m, fd, EXCLUSIVE, 3), EFAULT);
    t.same(yield* load_words(m, BUF, 2), [100, 101]);
  });
  t.end();
});
