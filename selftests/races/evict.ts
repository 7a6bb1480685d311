// SPDX-License-Identifier: GPL-2.0-only
// Closing a mirror evicts the device's memory, and RELEASE takes it away, without the mmap lock of those who use it.

import type { RaceCase, Racer } from '../../harness/explore/engine.ts';
import type { Libc } from '../../harness/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  OLD, PAGE, U, command, dmirror, expect_coherent, expect_ret, expect_word, filled, fork_behind, increment, open_device,
  open_gate, shut_gate, to_device, type Checks,
} from './common.ts';

/** The racer that closes the mirror. */
function closing(x: Checks, fd: number): Racer {
  return {
    name: 'close',
    kind: 'thread',
    *run(t: Libc): Gen<void> {
      expect_ret(x, yield* t.close(fd), [0], 'close');
    },
  };
}

const close_vs_fault: RaceCase = {
  name: 'close-vs-fault',
  summary: "a mirror is closed, which evicts all of the device's memory, while a thread faults pages of another mirror of it",
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, other, ptr, 2);
    yield* x.together([
      closing(x, fd),
      {
        name: 'increment',
        kind: 'thread',
        *run(t) {
          yield* increment(t, ptr, 2, true);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* expect_coherent(c, x, other, ptr, 2);
    yield* c.close(other);
  },
};

const close_vs_migrate: RaceCase = {
  name: 'close-vs-migrate',
  summary: "a mirror is closed, which evicts all of the device's memory, while another mirror of it migrates pages there",
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, other, ptr, 1);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      closing(x, fd),
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          const ret = yield* dmirror(t, other, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd);
          expect_ret(x, ret, [0, -U.ENOENT], 'MIGRATE_TO_DEV');
          for (let i = 0; ret === 0 && i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i], 'the device');
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* c.close(other);
  },
};

const close_vs_munmap: RaceCase = {
  name: 'close-vs-munmap',
  summary: 'a mirror is closed while a thread unmaps one of its device-private pages',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    yield* x.together([
      closing(x, fd),
      {
        name: 'munmap',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.munmap(ptr + PAGE, PAGE), [0], 'munmap');
        },
      },
    ]);
    yield* expect_word(c, x, ptr, 0, [OLD], 'in the end');
  },
};

const close_vs_mremap: RaceCase = {
  name: 'close-vs-mremap',
  summary: 'a mirror is closed while a thread moves its device-private pages to another address',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const to = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    yield* x.together([
      closing(x, fd),
      {
        name: 'mremap',
        kind: 'thread',
        *run(t) {
          const ret = yield* t.mremap(ptr, 2 * PAGE, 2 * PAGE, U.MREMAP_MAYMOVE | U.MREMAP_FIXED, to);
          x.check(ret === to, `mremap: ${U.strerror(t.errno)}`);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, to, i, [OLD + i], 'in the end');
  },
};

const close_vs_fork: RaceCase = {
  name: 'close-vs-fork',
  summary: 'a mirror is closed while a thread forks that has pages of another one; parent and child keep the pages and do not see what the other writes',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, other, ptr, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      closing(x, fd),
      {
        name: 'fork',
        kind: 'thread',
        *run(t) {
          yield* fork_behind(t, x, gate, function* (child) {
            for (let i = 0; i < 2; i++) yield* expect_word(child, x, ptr, i, [OLD + i], 'the child');
            yield* child.store32(ptr, 8);
            yield* expect_word(child, x, ptr, 0, [8], 'the child, after its store');
          });
          yield* t.store32(ptr + PAGE, 9);
        },
      },
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_word(c, x, ptr, 0, [OLD], 'in the end');
    yield* expect_word(c, x, ptr, 1, [9], 'in the end');
    yield* c.close(other);
  },
};

const close_vs_exit: RaceCase = {
  name: 'close-vs-exit',
  summary: 'a mirror is closed while a process exits that shares its device-private pages',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    yield* x.together([
      {
        name: 'exit',
        kind: 'process',
        *run(t) {
          yield* t.close(fd);
        },
      },
      closing(x, fd),
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
  },
};

const release_vs_fault: RaceCase = {
  name: 'release-vs-fault',
  summary: "the device's memory is taken away (RELEASE) while a thread faults the pages in it",
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'release',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_RELEASE, cmd), [0], 'RELEASE');
        },
      },
      {
        name: 'increment',
        kind: 'thread',
        *run(t) {
          yield* increment(t, ptr, 2, true);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* c.close(fd);
  },
};

const release_vs_migrate: RaceCase = {
  name: 'release-vs-migrate',
  summary: "the device's memory is taken away (RELEASE) while a thread migrates a page to it and then touches that page",
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    const cmd = yield* command(c, ptr, 1);
    const migrate = yield* command(c, ptr, 1);
    yield* x.together([
      {
        name: 'release',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_RELEASE, cmd), [0], 'RELEASE');
        },
      },
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate), [0, -U.ENOENT], 'MIGRATE_TO_DEV');
          yield* increment(t, ptr, 1);
        },
      },
    ]);
    yield* expect_word(c, x, ptr, 0, [OLD + 1], 'in the end');
    yield* c.close(fd);
  },
};

export const evict_cases: readonly RaceCase[] = [
  close_vs_fault, close_vs_migrate, close_vs_munmap, close_vs_mremap, close_vs_fork, close_vs_exit, release_vs_fault, release_vs_migrate,
];
