// SPDX-License-Identifier: GPL-2.0-only
// Pages that are the device's alone against CPU stores and against what takes them away or copies them.

import type { RaceCase, Racer } from '../../harness/explore/engine.ts';
import type { Libc } from '../../harness/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  OLD, PAGE, U, command, dmirror, expect_coherent, expect_not_exclusive, expect_ret, expect_word, filled, fork_behind,
  increment, open_device, open_gate, shut_gate, try_load, type Checks, type Command,
} from './common.ts';

/** The racer that makes the pages exclusive; the contents that it gets back are `values`, one list a page. */
function making_exclusive(x: Checks, fd: number, cmd: Command, rets: readonly number[], values: readonly (readonly number[])[]): Racer {
  return {
    name: 'exclusive',
    kind: 'thread',
    *run(t: Libc): Gen<void> {
      const ret = yield* dmirror(t, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd);
      expect_ret(x, ret, rets, 'EXCLUSIVE');
      for (let i = 0; ret === 0 && i < values.length; i++) yield* expect_word(t, x, cmd.mirror, i, values[i] as number[], 'the device');
    },
  };
}

const exclusive_vs_store: RaceCase = {
  name: 'exclusive-vs-store',
  summary: 'pages become exclusive to the device while a thread adds one to each',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      making_exclusive(x, fd, cmd, [0, -U.ENOENT], [[OLD, OLD + 1], [OLD + 1, OLD + 2]]),
      {
        name: 'increment',
        kind: 'thread',
        *run(t) {
          yield* increment(t, ptr, 2);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* expect_not_exclusive(c, x, fd, ptr, 2);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const exclusive_vs_stores: RaceCase = {
  name: 'exclusive-vs-two-stores',
  summary: 'two threads store to one page that is exclusive to the device while it is made so once more',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    const cmd = yield* command(c, ptr, 1);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd), [0], 'EXCLUSIVE beforehand');
    yield* x.together([
      making_exclusive(x, fd, cmd, [0, -U.ENOENT], [[OLD]]),
      ...[1, 2].map((n): Racer => ({
        name: `store ${n}`,
        kind: 'thread',
        *run(t: Libc): Gen<void> {
          yield* t.store32(ptr + 4 * n, n);
        },
      })),
    ]);
    for (const n of [1, 2]) {
      const v = yield* c.load32(ptr + 4 * n);
      x.check(v === n, `word ${n} holds ${v}: a store was lost`);
    }
    yield* expect_not_exclusive(c, x, fd, ptr, 1);
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const exclusive_vs_munmap: RaceCase = {
  name: 'exclusive-vs-munmap',
  summary: 'pages become exclusive to the device while a thread unmaps them',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      making_exclusive(x, fd, cmd, [0, -U.ENOENT, -U.EFAULT], [[OLD], [OLD + 1]]),
      {
        name: 'munmap',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.munmap(ptr, 2 * PAGE), [0], 'munmap');
        },
      },
    ]);
    x.check((yield* try_load(c, x, ptr)) === 'SIGSEGV', 'memory can be read after munmap');
    yield* expect_not_exclusive(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const exclusive_fault_vs_munmap: RaceCase = {
  name: 'exclusive-fault-vs-munmap',
  summary: 'a thread stores to a page that is exclusive to the device while another drops it (MADV_DONTNEED)',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    const cmd = yield* command(c, ptr, 1);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd), [0], 'EXCLUSIVE beforehand');
    yield* x.together([
      {
        name: 'store',
        kind: 'thread',
        *run(t) {
          yield* t.store32(ptr, 7);
        },
      },
      {
        name: 'dontneed',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.madvise(ptr, PAGE, U.MADV_DONTNEED), [0], 'madvise');
        },
      },
    ]);
    yield* expect_word(c, x, ptr, 0, [0, 7], 'in the end');
    yield* expect_not_exclusive(c, x, fd, ptr, 1);
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const exclusive_vs_fork: RaceCase = {
  name: 'exclusive-vs-fork',
  summary: 'pages become exclusive to the device while a thread forks; the child has pages of its own',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      making_exclusive(x, fd, cmd, [0, -U.ENOENT], [[OLD], [OLD + 1]]),
      {
        name: 'fork',
        kind: 'thread',
        *run(t) {
          yield* fork_behind(t, x, gate, function* (child) {
            for (let i = 0; i < 2; i++) yield* expect_word(child, x, ptr, i, [OLD + i], 'the child');
            yield* child.store32(ptr, 8);
          });
        },
      },
    ]);
    yield* open_gate(c, x, gate);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* expect_not_exclusive(c, x, fd, ptr, 2);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const exclusive_vs_migrate: RaceCase = {
  name: 'exclusive-vs-migrate',
  summary: 'one device makes pages exclusive while another migrates them to its memory',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x, 1);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
    yield* x.together([
      making_exclusive(x, fd, cmd, [0, -U.ENOENT], [[OLD], [OLD + 1]]),
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
    yield* expect_not_exclusive(c, x, fd, ptr, 2);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* expect_coherent(c, x, other, ptr, 2);
    yield* c.close(fd);
    yield* c.close(other);
  },
};

const exclusive_vs_own_migrate: RaceCase = {
  name: 'exclusive-vs-own-migrate',
  summary: 'one mirror makes pages exclusive and migrates them to its device at once',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'exclusive',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd), [0, -U.ENOENT], 'EXCLUSIVE');
        },
      },
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate), [0, -U.ENOENT], 'MIGRATE_TO_DEV');
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* expect_not_exclusive(c, x, fd, ptr, 2);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

export const exclusive_cases: readonly RaceCase[] = [
  exclusive_vs_store, exclusive_vs_stores, exclusive_vs_munmap, exclusive_fault_vs_munmap, exclusive_vs_fork, exclusive_vs_migrate,
  exclusive_vs_own_migrate,
];
