// SPDX-License-Identifier: GPL-2.0-only
// hmm_range_fault() against what changes the page tables that it reads: the protocol of mmu_interval_read_retry().

import type { RaceCase } from '../../harness/explore/engine.ts';
import { open_gate, shut_gate } from '../vocabulary/events.ts';
import { expect_gone, expect_ret, expect_state_that_was, expect_word, expect_words } from '../vocabulary/expect.ts';
import { filled, OLD, olds, PAGE } from '../vocabulary/memory.ts';
import {
  dmirror,
  expect_both_coherent,
  expect_coherent,
  expect_end,
  in_memory,
  new_command,
  open_device,
  to_device,
  two_devices,
} from '../vocabulary/mirror.ts';
import {
  dropping,
  forked,
  forking,
  incrementing,
  migrating,
  protecting,
  reading,
  storing,
  thread,
  unmapping,
} from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

const anon_teardown: RaceCase = {
  name: 'anon-teardown',
  summary: 'the device reads memory of which another thread unmaps the upper half',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 4);
    yield* x.together([
      reading(x, fd, cmd, { rets: [0, -U.EFAULT], values: olds(4) }),
      unmapping(x, ptr + 2 * PAGE, 2),
    ]);
    yield* expect_words(c, x, ptr, olds(2), 'in the end');
    yield* expect_gone(c, x, ptr + 2 * PAGE, 'munmap');
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_READ, cmd), [-U.EFAULT], 'READ of memory that is gone');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const read_vs_store: RaceCase = {
  name: 'read-vs-store',
  summary: 'the device reads pages that the CPU writes for the first time since a fork',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    // A child that is gone: the pages are write-protected, and the first store takes them over or copies them.
    const pid = yield* c.fork(function* () {});
    yield* c.waitpid(pid);
    yield* x.together([reading(x, fd, cmd, { values: olds(2, [0, 1]) }), incrementing(ptr, [0, 1])]);
    yield* expect_end(c, x, fd, ptr, olds(2, [1]));
  },
};

const read_vs_cow: RaceCase = {
  name: 'read-vs-cow',
  summary: 'the device reads pages that the CPU copies on write, since a child has them too',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 1);
    yield* x.together([
      forked('child', function* (t) {
        yield* expect_word(t, x, ptr, 0, [OLD], 'the child');
      }),
      reading(x, fd, cmd, { values: [[OLD, 7]] }),
      storing(ptr, 7),
    ]);
    yield* expect_word(c, x, ptr, 0, [7], 'in the end');
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ after the race');
    yield* expect_word(c, x, cmd.mirror, 0, [7], 'the device, after the race');
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const read_vs_dontneed: RaceCase = {
  name: 'read-vs-dontneed',
  summary: 'the device reads pages that another thread drops (MADV_DONTNEED)',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([
      reading(x, fd, cmd, {
        values: [
          [OLD, 0],
          [OLD + 1, 0],
        ],
      }),
      dropping(x, ptr, 2),
    ]);
    yield* expect_word(c, x, ptr, 1, [0], 'in the end');
    // Page 0 was not read: the zero page that a read finds would be copied on the next write, which the device is told
    // of.
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const write_vs_mprotect: RaceCase = {
  name: 'write-vs-mprotect',
  summary: 'the device writes to pages that another thread makes read-only',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2, 7);
    let ret = 0;
    yield* x.together([
      thread('write', function* (t) {
        ret = yield* dmirror(t, fd, U.HMM_DMIRROR_WRITE, cmd);
        expect_ret(x, ret, [0, -U.EPERM], 'WRITE');
      }),
      protecting(x, ptr, 2),
    ]);
    const first = yield* expect_word(c, x, ptr, 0, ret === 0 ? [7] : [OLD, 7], 'in the end');
    const second = yield* expect_word(c, x, ptr, 1, ret === 0 ? [8] : [OLD + 1, 8], 'in the end');
    x.check(second !== 8 || first === 7, 'the device wrote the second page and not the first');
    const again = yield* new_command(c, ptr, 2, 70);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_WRITE, again), [-U.EPERM], 'WRITE to memory that is read-only');
    yield* expect_word(c, x, ptr, 0, [first], 'after a write that was refused');
    yield* c.mprotect(ptr, 2 * PAGE, U.PROT_READ | U.PROT_WRITE);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const write_vs_fork: RaceCase = {
  name: 'write-vs-fork',
  summary: 'the device writes while a thread forks; the child sees a state that was, and keeps it',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2, 7);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      thread('write', function* (t) {
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_WRITE, cmd), [0], 'WRITE');
      }),
      forking(x, gate, (child) => expect_state_that_was(child, x, ptr)),
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_end(c, x, fd, ptr, [[7], [8]]);
  },
};

const read_vs_migrate: RaceCase = {
  name: 'read-vs-migrate',
  summary: 'one device reads pages while another migrates them to its memory',
  *run(c, x) {
    const { fds, ptr, cmds } = yield* two_devices(c, x);
    yield* x.together([
      reading(x, fds[0], cmds[0], { values: olds(2) }),
      migrating(x, fds[1], cmds[1], { values: olds(2) }),
    ]);
    yield* expect_words(c, x, ptr, olds(2), 'in the end');
    yield* expect_both_coherent(c, x, fds, ptr);
  },
};

const read_vs_migrate_back: RaceCase = {
  name: 'read-vs-migrate-back',
  summary: 'one device reads a page that a child of the process brings back from another device, on the same CPU',
  config: { cpus: 1 },
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x, 1);
    const ptr = yield* filled(c, x, 1);
    yield* to_device(c, x, other, ptr, 1);
    const cmd = yield* new_command(c, ptr, 1);
    const back = yield* new_command(c, ptr, 1);
    yield* x.together([
      reading(x, fd, cmd, { values: olds(1) }),
      forked('migrate back', function* (t) {
        const own = yield* open_device(t, x, 1);
        expect_ret(x, yield* dmirror(t, own, U.HMM_DMIRROR_MIGRATE_TO_SYS, back), [0], 'MIGRATE_TO_SYS');
        yield* expect_word(t, x, ptr, 0, [OLD], 'the child');
      }),
    ]);
    yield* expect_end(c, x, fd, ptr, olds(1));
    yield* c.close(other);
  },
};

const PRESENT = U.HMM_DMIRROR_PROT_WRITE;
const IN_DEVICE = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE;

const snapshot_vs_migrate: RaceCase = {
  name: 'snapshot-vs-migrate',
  summary: 'a snapshot is taken of pages that migrate to the device and back',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    const migrate = yield* new_command(c, ptr, 2);
    yield* x.together([
      thread('snapshot', function* (t) {
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_SNAPSHOT, cmd), [0], 'SNAPSHOT');
        for (let i = 0; i < 2; i++) {
          const seen = yield* t.load8(cmd.mirror + i);
          x.check(
            [U.HMM_DMIRROR_PROT_NONE, PRESENT, IN_DEVICE].includes(seen),
            `the snapshot of page ${i} is 0x${seen.toString(16)}`,
          );
        }
      }),
      thread('migrate', function* (t) {
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate), [0], 'MIGRATE_TO_DEV');
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, migrate), [0], 'MIGRATE_TO_SYS');
      }),
    ]);
    yield* expect_end(c, x, fd, ptr, olds(2));
  },
};

const snapshot_vs_dontneed: RaceCase = {
  name: 'snapshot-vs-dontneed',
  summary: 'a snapshot, whose interval notifier is on the stack, ends while another thread drops a page of it',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([
      thread('snapshot', function* (t) {
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_SNAPSHOT, cmd), [0], 'SNAPSHOT');
      }),
      dropping(x, ptr, 1),
    ]);
    yield* expect_end(c, x, fd, ptr, [[0], [OLD + 1]]);
  },
};

export const range_cases: readonly RaceCase[] = [
  anon_teardown,
  read_vs_store,
  read_vs_cow,
  read_vs_dontneed,
  write_vs_mprotect,
  write_vs_fork,
  read_vs_migrate,
  read_vs_migrate_back,
  snapshot_vs_migrate,
  snapshot_vs_dontneed,
];
