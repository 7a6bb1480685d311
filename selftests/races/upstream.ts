// SPDX-License-Identifier: GPL-2.0-only
// Races that Linux 7.3.4 itself loses, all of them in the test driver. Each has its schedule.

import type { RaceCase } from '../../harness/explore/engine.ts';
import { OLD, PAGE, U, command, dmirror, expect_coherent, expect_ret, expect_word, filled, increment, open_device, to_device } from './common.ts';

const close_vs_own_fault: RaceCase = {
  name: 'close-vs-own-fault',
  summary: 'a mirror is closed, which evicts its pages, while a thread faults them',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    yield* x.together([
      {
        name: 'close',
        kind: 'thread',
        *run(t) {
          yield* t.close(fd);
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
  },
};

const read_vs_own_migrate: RaceCase = {
  name: 'read-vs-own-migrate',
  summary: 'a mirror reads pages while it migrates them to its device',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
          for (let i = 0; i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i], 'the device');
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
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const migrate_vs_dontneed: RaceCase = {
  name: 'migrate-vs-dontneed',
  summary: 'pages migrate to the device while another thread drops them (MADV_DONTNEED)',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          const ret = yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd);
          expect_ret(x, ret, [0, -U.ENOENT], 'MIGRATE_TO_DEV');
          for (let i = 0; ret === 0 && i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i, 0], 'the device');
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
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const exclusive_vs_dontneed: RaceCase = {
  name: 'exclusive-vs-dontneed',
  summary: 'a page becomes exclusive to the device while another thread drops it (MADV_DONTNEED)',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    const cmd = yield* command(c, ptr, 1);
    yield* x.together([
      {
        name: 'exclusive',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd), [0, -U.ENOENT], 'EXCLUSIVE');
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
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const release_vs_migrate_two: RaceCase = {
  name: 'release-vs-migrate-two',
  summary: "the device's memory is taken away (RELEASE) while a thread migrates two pages to it",
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
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
          yield* increment(t, ptr, 2);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* c.close(fd);
  },
};

export const upstream_faults: readonly RaceCase[] = [
  close_vs_own_fault, read_vs_own_migrate, migrate_vs_dontneed, exclusive_vs_dontneed, release_vs_migrate_two,
];
