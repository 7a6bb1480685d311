// SPDX-License-Identifier: GPL-2.0-only
// hmm_range_fault() against what changes the page tables that it reads: the protocol of mmu_interval_read_retry().

import type { RaceCase } from '../../harness/explore/engine.ts';
import {
  OLD, PAGE, U, command, dmirror, expect_coherent, expect_ret, expect_word, filled, fork_behind, increment, open_device,
  open_gate, shut_gate, to_device, try_load,
} from './common.ts';

const anon_teardown: RaceCase = {
  name: 'anon-teardown',
  summary: 'the device reads memory of which another thread unmaps the upper half',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 4);
    const cmd = yield* command(c, ptr, 4);
    yield* x.together([
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          const ret = yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd);
          expect_ret(x, ret, [0, -U.EFAULT], 'READ');
          for (let i = 0; ret === 0 && i < 4; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i], 'the device');
        },
      },
      {
        name: 'munmap',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.munmap(ptr + 2 * PAGE, 2 * PAGE), [0], 'munmap');
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    x.check((yield* try_load(c, x, ptr + 2 * PAGE)) === 'SIGSEGV', 'memory can be read after munmap');
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_READ, cmd), [-U.EFAULT], 'READ of memory that is gone');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const read_vs_store: RaceCase = {
  name: 'read-vs-store',
  summary: 'the device reads pages that the CPU writes for the first time since a fork',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    // A child that is gone: the pages are write-protected, and the first store takes them over or copies them.
    const pid = yield* c.fork(function* () {});
    yield* c.waitpid(pid);
    yield* x.together([
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
          for (let i = 0; i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i, OLD + i + 1], 'the device');
        },
      },
      {
        name: 'increment',
        kind: 'thread',
        *run(t) {
          yield* increment(t, ptr, 2);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const read_vs_cow: RaceCase = {
  name: 'read-vs-cow',
  summary: 'the device reads pages that the CPU copies on write, since a child has them too',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    const cmd = yield* command(c, ptr, 1);
    yield* x.together([
      {
        name: 'child',
        kind: 'process',
        *run(t) {
          yield* expect_word(t, x, ptr, 0, [OLD], 'the child');
        },
      },
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
          yield* expect_word(t, x, cmd.mirror, 0, [OLD, 7], 'the device');
        },
      },
      {
        name: 'store',
        kind: 'thread',
        *run(t) {
          yield* t.store32(ptr, 7);
        },
      },
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
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
          for (let i = 0; i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i, 0], 'the device');
        },
      },
      {
        name: 'dontneed',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.madvise(ptr, 2 * PAGE, U.MADV_DONTNEED), [0], 'madvise');
        },
      },
    ]);
    yield* expect_word(c, x, ptr, 1, [0], 'in the end');
    // Page 0 was not read: the zero page that a read finds would be copied on the next write, which the device is told of.
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const write_vs_mprotect: RaceCase = {
  name: 'write-vs-mprotect',
  summary: 'the device writes to pages that another thread makes read-only',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2, 7);
    let ret = 0;
    yield* x.together([
      {
        name: 'write',
        kind: 'thread',
        *run(t) {
          ret = yield* dmirror(t, fd, U.HMM_DMIRROR_WRITE, cmd);
          expect_ret(x, ret, [0, -U.EPERM], 'WRITE');
        },
      },
      {
        name: 'mprotect',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.mprotect(ptr, 2 * PAGE, U.PROT_READ), [0], 'mprotect');
        },
      },
    ]);
    const first = yield* expect_word(c, x, ptr, 0, ret === 0 ? [7] : [OLD, 7], 'in the end');
    const second = yield* expect_word(c, x, ptr, 1, ret === 0 ? [8] : [OLD + 1, 8], 'in the end');
    x.check(second !== 8 || first === 7, 'the device wrote the second page and not the first');
    const again = yield* command(c, ptr, 2, 70);
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
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2, 7);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      {
        name: 'write',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_WRITE, cmd), [0], 'WRITE');
        },
      },
      {
        name: 'fork',
        kind: 'thread',
        *run(t) {
          yield* fork_behind(t, x, gate, function* (child) {
            const second = yield* expect_word(child, x, ptr, 1, [OLD + 1, 8], 'the child');
            const first = yield* expect_word(child, x, ptr, 0, [OLD, 7], 'the child');
            x.check(second !== 8 || first === 7, 'the child has the later write and not the earlier one');
            yield* expect_word(child, x, ptr, 1, [second], 'the child, once more');
          });
        },
      },
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_word(c, x, ptr, 0, [7], 'in the end');
    yield* expect_word(c, x, ptr, 1, [8], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const read_vs_migrate: RaceCase = {
  name: 'read-vs-migrate',
  summary: 'one device reads pages while another migrates them to its memory',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x, 1);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
          for (let i = 0; i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i], 'the reading device');
        },
      },
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          const ret = yield* dmirror(t, other, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate);
          expect_ret(x, ret, [0, -U.ENOENT], 'MIGRATE_TO_DEV');
          for (let i = 0; ret === 0 && i < 2; i++) yield* expect_word(t, x, migrate.mirror, i, [OLD + i], 'the other device');
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* expect_coherent(c, x, other, ptr, 2);
    yield* c.close(fd);
    yield* c.close(other);
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
    const cmd = yield* command(c, ptr, 1);
    const back = yield* command(c, ptr, 1);
    yield* x.together([
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
          yield* expect_word(t, x, cmd.mirror, 0, [OLD], 'the reading device');
        },
      },
      {
        name: 'migrate back',
        kind: 'process',
        *run(t) {
          const own = yield* open_device(t, x, 1);
          expect_ret(x, yield* dmirror(t, own, U.HMM_DMIRROR_MIGRATE_TO_SYS, back), [0], 'MIGRATE_TO_SYS');
          yield* expect_word(t, x, ptr, 0, [OLD], 'the child');
        },
      },
    ]);
    yield* expect_word(c, x, ptr, 0, [OLD], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
    yield* c.close(other);
  },
};

const PRESENT = U.HMM_DMIRROR_PROT_WRITE;
const IN_DEVICE = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE;

const snapshot_vs_migrate: RaceCase = {
  name: 'snapshot-vs-migrate',
  summary: 'a snapshot is taken of pages that migrate to the device and back',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'snapshot',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_SNAPSHOT, cmd), [0], 'SNAPSHOT');
          for (let i = 0; i < 2; i++) {
            const seen = yield* t.load8(cmd.mirror + i);
            x.check([U.HMM_DMIRROR_PROT_NONE, PRESENT, IN_DEVICE].includes(seen), `the snapshot of page ${i} is 0x${seen.toString(16)}`);
          }
        },
      },
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate), [0], 'MIGRATE_TO_DEV');
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, migrate), [0], 'MIGRATE_TO_SYS');
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

export const range_cases: readonly RaceCase[] = [
  anon_teardown, read_vs_store, read_vs_cow, read_vs_dontneed, write_vs_mprotect, write_vs_fork, read_vs_migrate, read_vs_migrate_back,
  snapshot_vs_migrate,
];
