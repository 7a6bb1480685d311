// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { audit } from '../audit.ts';
import { boot, type Machine } from '../boot.ts';
import { do_sys_open } from '../fs/namei.ts';
import { sys_ioctl } from '../fs/read_write.ts';
import { start_process } from '../kernel/exec.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { load_module } from '../kernel/module.ts';
import { sys_mmap } from '../mm/mmap.ts';
import { user_load32, user_load64, user_load8, user_store32, user_store64 } from '../mm/uaccess.ts';
import { sys_munmap } from '../mm/vma_unmap.ts';
import type { dmirror, test_hmm_state } from './dmirror.ts';
import { dmirror_check_atomic } from './migrate.ts';

// From test_hmm_uapi.h, on purpose a second time.
const [READ, TO_DEV, TO_SYS, SNAPSHOT, EXCLUSIVE, CHECK_EXCLUSIVE, FLAGS] = [0, 2, 3, 4, 5, 6, 8].map((nr) => 0xc0284800 + nr);
const [EPERM, ENOENT, ENOMEM, EFAULT, EINVAL, EOPNOTSUPP] = [-1, -2, -12, -14, -22, -95];
const PAGE = 4096;
const [BUF, MIRROR, CMD] = [0x200000000, 0x210000000, 0x220000000];

/** A process with a mirror device, buffers at fixed addresses, and words in the first `filled` pages of BUF. */
function run(filled: number, body: (m: Machine, fd: number) => Gen<void>): void {
  const m = boot({ mem: 128 * 1024 * 1024, thp: 'never' });
  const task = start_process(m, 'test', function* () {
    t.equal(yield* load_module(m, 'test_hmm'), 0);
    for (const [at, n] of [[BUF, 80], [MIRROR, 80], [CMD, 1]]) yield* sys_mmap(m, at, n * PAGE, 3, 0x32, -1, 0);
    for (let i = 0; i < filled; i++) yield* user_store32(m, BUF + i * PAGE, 100 + i);
    yield* body(m, yield* do_sys_open(m, '/dev/hmm_dmirror0', 2, 0));
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.equal(task.group_exit_code ?? task.exit_code, 0);
  t.same(audit(m), []);
  t.same([m.log.warnings, m.log.oopses], [[], []]);
}

function* dev(m: Machine, fd: number, command: number, npages: number, addr = BUF): Gen<number> {
  yield* user_store64(m, CMD, addr);
  yield* user_store64(m, CMD + 8, MIRROR);
  yield* user_store64(m, CMD + 16, npages);
  return yield* sys_ioctl(m, fd, command, CMD);
}

/** cpages and faults of the last command that went well. */
function* counts(m: Machine): Gen<number[]> {
  return [yield* user_load64(m, CMD + 24), yield* user_load64(m, CMD + 32)];
}

function* words(m: Machine, at: number, npages: number): Gen<number[]> {
  const found: number[] = [];
  for (let i = 0; i < npages; i++) found.push(yield* user_load32(m, at + i * PAGE));
  return found;
}

function* snapshot(m: Machine, fd: number, npages: number, addr = BUF): Gen<number[]> {
  t.equal(yield* dev(m, fd, SNAPSHOT, npages, addr), 0);
  const found: number[] = [];
  for (let i = 0; i < npages; i++) found.push(yield* user_load8(m, MIRROR + i));
  return found;
}

t.test('pages go to the device and come back with what they held; those that were never touched are zeroes', (t) => {
  run(2, function* (m, fd) {
    const free = m.zone.nr_free;
    t.equal(yield* dev(m, fd, TO_DEV, 4), 0);
    t.same(yield* counts(m), [4, 0]);
    t.same(yield* words(m, MIRROR, 4), [100, 101, 0, 0]);
    t.same(yield* snapshot(m, fd, 4), [0x22, 0x22, 0x22, 0x22]);
    t.equal(yield* dev(m, fd, TO_DEV, 4), 0, 'what is there already stays');
    t.equal(yield* dev(m, fd, TO_SYS, 4), 0);
    t.same(yield* counts(m), [4, 0]);
    t.equal(yield* dev(m, fd, TO_SYS, 4), 0);
    t.same(yield* counts(m), [0, 0], 'nothing was left to bring back');
    t.same(yield* words(m, BUF, 4), [100, 101, 0, 0]);
    t.ok(m.zone.nr_free < free, 'two pages more, and the mirror');
  });
  t.end();
});

t.test('a hole ends a migration with an error, after what stands before it', (t) => {
  run(4, function* (m, fd) {
    yield* sys_munmap(m, BUF + 2 * PAGE, PAGE);
    t.equal(yield* dev(m, fd, TO_DEV, 4), EINVAL);
    t.same(yield* snapshot(m, fd, 4), [0x22, 0x22, 0xff, 0x02]);
    t.equal(yield* dev(m, fd, TO_SYS, 4), EINVAL);
    t.same(yield* snapshot(m, fd, 4), [0x02, 0x02, 0xff, 0x02]);
    t.same([m.slab.live, m.current.held_locks.length], [0, 0]);
  });
  t.end();
});

t.test('a device neither takes nor brings back the pages of another', (t) => {
  run(2, function* (m, fd) {
    const other = yield* do_sys_open(m, '/dev/hmm_dmirror1', 2, 0);
    t.equal(yield* dev(m, fd, TO_DEV, 2), 0);
    t.equal(yield* dev(m, other, TO_DEV, 2), ENOENT, 'it has nothing to show');
    t.equal(yield* dev(m, other, TO_SYS, 2), 0);
    t.same(yield* counts(m), [0, 0]);
    t.same(yield* snapshot(m, fd, 2), [0x22, 0x22]);
    t.same(yield* words(m, BUF, 2), [100, 101]);
  });
  t.end();
});

t.test('pages that parent and child share move for both, and are copied when one writes', (t) => {
  run(2, function* (m, fd) {
    const pid = yield* kernel_clone(m, 0, function* () {
      t.same(yield* words(m, BUF, 2), [100, 101], 'from the device');
      yield* user_store32(m, BUF + PAGE, 7);
    });
    t.equal(yield* dev(m, fd, TO_DEV, 2), 0);
    t.same(yield* snapshot(m, fd, 2), [0x21, 0x21], 'not to be written');
    yield* kernel_wait4(m, pid, 0);
    t.same(yield* words(m, BUF, 2), [100, 101]);
  });
  t.end();
});

t.test('an allocation that fails on the way back is tried again by the CPU, and is an error of the command', (t) => {
  run(2, function* (m, fd) {
    t.equal(yield* dev(m, fd, TO_DEV, 2), 0);
    t.equal(yield* dev(m, fd, FLAGS, 1), 0);
    t.equal(yield* dev(m, fd, TO_SYS, 2), ENOMEM);
    t.same(yield* snapshot(m, fd, 2), [0x22, 0x22], 'nothing moved');
    t.equal(yield* dev(m, fd, FLAGS, 1), 0);
    t.equal(yield* user_load32(m, BUF), 100);
    t.same(yield* snapshot(m, fd, 2), [0x02, 0x22]);
    t.equal(yield* dev(m, fd, TO_SYS, 2), 0);
    t.same(yield* counts(m), [1, 0]);
  });
  t.end();
});

t.test('exclusive pages are the device\'s until the CPU touches one', (t) => {
  run(3, function* (m, fd) {
    t.equal(yield* dev(m, fd, EXCLUSIVE, 3), 0);
    t.same(yield* counts(m), [3, 0]);
    t.same(yield* words(m, MIRROR, 3), [100, 101, 102]);
    const mirrors = (m.modules.data.get('test_hmm') as test_hmm_state).dmirrors;
    const d = [...mirrors.values()][0] as dmirror;
    t.same([[0, 1], [1, 3], [3, 4]].map(([a, b]) => dmirror_check_atomic(d, BUF + a * PAGE, BUF + b * PAGE)), [EPERM, EPERM, 0]);
    t.equal(yield* user_load32(m, BUF), 100);
    t.equal(yield* dev(m, fd, CHECK_EXCLUSIVE, 1), 0);
    t.equal(yield* dev(m, fd, CHECK_EXCLUSIVE, 3), EPERM);
    t.equal(yield* dev(m, fd, READ, 3), 0, 'another use ends it too');
    yield* sys_mmap(m, BUF + 2 * PAGE, PAGE, 3, 0x31, -1, 0);
    t.equal(yield* dev(m, fd, EXCLUSIVE, 3), EOPNOTSUPP, 'shared memory cannot be had');
    yield* sys_munmap(m, BUF + 2 * PAGE, PAGE);
    t.equal(yield* dev(m, fd, EXCLUSIVE, 3), EFAULT);
    t.same(yield* words(m, BUF, 2), [100, 101]);
  });
  t.end();
});
