// SPDX-License-Identifier: GPL-2.0-only
// Migration against another migration of the same range and against what changes the address space under it.

import type { RaceCase, Racer } from '../../harness/explore/engine.ts';
import type { Libc } from '../../harness/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  OLD, PAGE, U, command, dmirror, expect_coherent, expect_ret, expect_word, filled, fork_behind, increment, open_device,
  open_gate, shut_gate, to_device, try_load, type Checks, type Command,
} from './common.ts';

/** The racer that migrates to the device; `values`, one list a page, is what the device may get. */
function migrating(x: Checks, fd: number, cmd: Command, rets: readonly number[], values: readonly (readonly number[])[], name = 'migrate'): Racer {
  return {
    name,
    kind: 'thread',
    *run(t: Libc): Gen<void> {
      const ret = yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd);
      expect_ret(x, ret, rets, 'MIGRATE_TO_DEV');
      for (let i = 0; ret === 0 && i < values.length; i++) yield* expect_word(t, x, cmd.mirror, i, values[i] as number[], 'the device');
    },
  };
}

const two_devices: RaceCase = {
  name: 'migrate-two-devices',
  summary: 'two devices migrate one range',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x, 1);
    const ptr = yield* filled(c, x, 2);
    const values = [[OLD], [OLD + 1]];
    const first = yield* command(c, ptr, 2);
    const second = yield* command(c, ptr, 2);
    yield* x.together([
      migrating(x, fd, first, [0, -U.ENOENT], values, 'migrate to 0'),
      migrating(x, other, second, [0, -U.ENOENT], values, 'migrate to 1'),
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* expect_coherent(c, x, other, ptr, 2);
    yield* c.close(fd);
    yield* c.close(other);
  },
};

const back_vs_fault: RaceCase = {
  name: 'migrate-back-vs-fault',
  summary: 'pages are brought back from the device by a command and by CPU faults at once',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'migrate back',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, cmd), [0], 'MIGRATE_TO_SYS');
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
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const migrate_vs_munmap: RaceCase = {
  name: 'migrate-vs-munmap',
  summary: 'pages migrate to the device while another thread unmaps the second of them',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      migrating(x, fd, cmd, [0, -U.ENOENT, -U.EINVAL], [[OLD], [OLD + 1]]),
      {
        name: 'munmap',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.munmap(ptr + PAGE, PAGE), [0], 'munmap');
        },
      },
    ]);
    yield* expect_word(c, x, ptr, 0, [OLD], 'in the end');
    x.check((yield* try_load(c, x, ptr + PAGE)) === 'SIGSEGV', 'memory can be read after munmap');
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const cow_vs_migrate: RaceCase = {
  name: 'cow-vs-migrate',
  summary: 'a child copies pages on write while its parent migrates them to the device',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'child',
        kind: 'process',
        *run(t) {
          yield* t.store32(ptr, 8);
          yield* expect_word(t, x, ptr, 1, [OLD + 1], 'the child');
          yield* expect_word(t, x, ptr, 0, [8], 'the child, after its store');
        },
      },
      migrating(x, fd, cmd, [0, -U.ENOENT], [[OLD], [OLD + 1]]),
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const mremap_vs_migrate: RaceCase = {
  name: 'mremap-vs-migrate',
  summary: 'pages migrate to the device while another thread moves them to another address',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const to = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      migrating(x, fd, cmd, [0, -U.ENOENT, -U.EINVAL], [[OLD], [OLD + 1]]),
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
    x.check((yield* try_load(c, x, ptr)) === 'SIGSEGV', 'memory can be read where it was before mremap');
    yield* expect_coherent(c, x, fd, to, 2);
    yield* c.close(fd);
  },
};

const migrate_vs_fork: RaceCase = {
  name: 'migrate-vs-fork',
  summary: 'pages migrate to the device while another thread forks and writes',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      migrating(x, fd, cmd, [0, -U.ENOENT], [[OLD], [OLD + 1, 9]]),
      {
        name: 'fork',
        kind: 'thread',
        *run(t) {
          yield* fork_behind(t, x, gate, function* (child) {
            yield* child.store32(ptr, 8);
            yield* expect_word(child, x, ptr, 1, [OLD + 1], 'the child');
          });
          yield* t.store32(ptr + PAGE, 9);
        },
      },
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_word(c, x, ptr, 0, [OLD], 'in the end');
    yield* expect_word(c, x, ptr, 1, [9], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

export const migrate_cases: readonly RaceCase[] = [
  two_devices, back_vs_fault, migrate_vs_munmap, migrate_vs_fork, cow_vs_migrate, mremap_vs_migrate,
];
