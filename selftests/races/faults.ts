// SPDX-License-Identifier: GPL-2.0-only
// CPU faults on device-private pages against each other and against what takes the pages away.

import type { RaceCase } from '../../harness/explore/engine.ts';
import type { Libc } from '../../harness/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  OLD, PAGE, U, command, dmirror, expect_coherent, expect_ret, expect_word, filled, fork_behind, increment, open_device,
  open_gate, shut_gate, to_device, try_load,
} from './common.ts';

const fault_vs_fault: RaceCase = {
  name: 'fault-vs-fault',
  summary: 'two threads touch one device-private page: one loads, one stores',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    yield* to_device(c, x, fd, ptr, 1);
    yield* x.together([
      {
        name: 'load',
        kind: 'thread',
        *run(t) {
          yield* expect_word(t, x, ptr, 0, [OLD, 7], 'the reader');
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
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const faults_of_three: RaceCase = {
  name: 'three-faults',
  summary: 'three threads store to different words of one device-private page',
  budget: 1000,
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    yield* to_device(c, x, fd, ptr, 1);
    yield* x.together([1, 2, 3].map((n) => ({
      name: `store ${n}`,
      kind: 'thread' as const,
      *run(t: Libc): Gen<void> {
        yield* t.store32(ptr + 4 * n, n);
      },
    })));
    for (const n of [1, 2, 3]) {
      const v = yield* c.load32(ptr + 4 * n);
      x.check(v === n, `word ${n} holds ${v}: a store was lost`);
    }
    yield* c.close(fd);
  },
};

const fault_vs_migrate: RaceCase = {
  name: 'fault-vs-migrate',
  summary: 'a thread adds one to each page while they migrate to the device',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'increment',
        kind: 'thread',
        *run(t) {
          yield* increment(t, ptr, 2);
        },
      },
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          const ret = yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd);
          expect_ret(x, ret, [0, -U.ENOENT], 'MIGRATE_TO_DEV');
          for (let i = 0; ret === 0 && i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i, OLD + i + 1], 'the device');
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const fault_vs_munmap: RaceCase = {
  name: 'fault-vs-munmap',
  summary: 'a thread loads from device-private pages that another unmaps',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    yield* x.together([
      {
        name: 'load',
        kind: 'thread',
        *run(t) {
          for (const i of [1, 0]) {
            const v = yield* try_load(t, x, ptr + i * PAGE);
            x.check(v === OLD + i || v === 'SIGSEGV', `the load from page ${i} gave ${v}`);
          }
        },
      },
      {
        name: 'munmap',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.munmap(ptr, 2 * PAGE), [0], 'munmap');
        },
      },
    ]);
    x.check((yield* try_load(c, x, ptr)) === 'SIGSEGV', 'memory can be read after munmap');
    yield* c.close(fd);
  },
};

const fault_vs_fork: RaceCase = {
  name: 'fault-vs-fork',
  summary: 'a thread stores to device-private pages while another forks; the child sees a state that was, and keeps it',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      {
        name: 'store',
        kind: 'thread',
        *run(t) {
          yield* t.store32(ptr, 7);
          yield* t.store32(ptr + PAGE, 8);
        },
      },
      {
        name: 'fork',
        kind: 'thread',
        *run(t) {
          yield* fork_behind(t, x, gate, function* (child) {
            const second = yield* expect_word(child, x, ptr, 1, [OLD + 1, 8], 'the child');
            const first = yield* expect_word(child, x, ptr, 0, [OLD, 7], 'the child');
            x.check(second !== 8 || first === 7, 'the child has the later store and not the earlier one');
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

const fault_vs_exit: RaceCase = {
  name: 'fault-vs-exit',
  summary: 'a process exits while its thread and its parent fault device-private pages that they share',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    yield* x.together([
      {
        name: 'exit',
        kind: 'process',
        *run(t) {
          const thread = yield* t.pthread_create(function* (u) {
            yield* expect_word(u, x, ptr, 0, [OLD], 'the thread that is killed');
          });
          x.check(thread > 0, 'pthread_create');
        },
      },
      {
        name: 'load',
        kind: 'thread',
        *run(t) {
          yield* expect_word(t, x, ptr, 1, [OLD + 1], 'the parent');
          yield* expect_word(t, x, ptr, 0, [OLD], 'the parent');
        },
      },
    ]);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

export const fault_cases: readonly RaceCase[] = [
  fault_vs_fault, faults_of_three, fault_vs_migrate, fault_vs_munmap, fault_vs_fork, fault_vs_exit,
];
