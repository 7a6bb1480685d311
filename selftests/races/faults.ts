// SPDX-License-Identifier: GPL-2.0-only
// CPU faults on device-private pages against each other and against what takes the pages away.

import type { RaceCase } from '../../harness/explore/engine.ts';
import { open_gate, shut_gate } from '../vocabulary/events.ts';
import { expect_gone, expect_state_that_was, expect_stores, expect_word, try_load } from '../vocabulary/expect.ts';
import { OLD, olds, PAGE } from '../vocabulary/memory.ts';
import { expect_coherent, expect_end, in_memory, on_device } from '../vocabulary/mirror.ts';
import {
  forked,
  forking,
  incrementing,
  migrating,
  storing,
  storing_words,
  thread,
  unmapping,
} from '../vocabulary/racers.ts';

const fault_vs_fault: RaceCase = {
  name: 'fault-vs-fault',
  summary: 'two threads touch one device-private page: one loads, one stores',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 1);
    yield* x.together([
      thread('load', function* (t) {
        yield* expect_word(t, x, ptr, 0, [OLD, 7], 'the reader');
      }),
      storing(ptr, 7),
    ]);
    yield* expect_end(c, x, fd, ptr, [[7]]);
  },
};

const faults_of_three: RaceCase = {
  name: 'three-faults',
  summary: 'three threads store to different words of one device-private page',
  budget: 1000,
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 1);
    yield* x.together(storing_words(ptr, [1, 2, 3]));
    yield* expect_stores(c, x, ptr, [1, 2, 3]);
    yield* c.close(fd);
  },
};

const fault_vs_migrate: RaceCase = {
  name: 'fault-vs-migrate',
  summary: 'a thread adds one to each page while they migrate to the device',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([incrementing(ptr, [0, 1]), migrating(x, fd, cmd, { values: olds(2, [0, 1]) })]);
    yield* expect_end(c, x, fd, ptr, olds(2, [1]));
  },
};

const fault_vs_munmap: RaceCase = {
  name: 'fault-vs-munmap',
  summary: 'a thread loads from device-private pages that another unmaps',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    yield* x.together([
      thread('load', function* (t) {
        for (const i of [1, 0]) {
          const v = yield* try_load(t, x, ptr + i * PAGE);
          x.check(v === OLD + i || v === 'SIGSEGV', `the load from page ${i} gave ${v}`);
        }
      }),
      unmapping(x, ptr, 2),
    ]);
    yield* expect_gone(c, x, ptr, 'munmap');
    yield* c.close(fd);
  },
};

const fault_vs_fork: RaceCase = {
  name: 'fault-vs-fork',
  summary: 'a thread stores to device-private pages while another forks; the child sees a state that was, and keeps it',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      thread('store', function* (t) {
        yield* t.store32(ptr, 7);
        yield* t.store32(ptr + PAGE, 8);
      }),
      forking(x, gate, (child) => expect_state_that_was(child, x, ptr)),
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_end(c, x, fd, ptr, [[7], [8]]);
  },
};

const fault_vs_exit: RaceCase = {
  name: 'fault-vs-exit',
  summary: 'a process exits while its thread and its parent fault device-private pages that they share',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    yield* x.together([
      forked('exit', function* (t) {
        const other = yield* t.pthread_create(function* (u) {
          yield* expect_word(u, x, ptr, 0, [OLD], 'the thread that is killed');
        });
        x.check(other > 0, 'pthread_create');
      }),
      thread('load', function* (t) {
        yield* expect_word(t, x, ptr, 1, [OLD + 1], 'the parent');
        yield* expect_word(t, x, ptr, 0, [OLD], 'the parent');
      }),
    ]);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

export const fault_cases: readonly RaceCase[] = [
  fault_vs_fault,
  faults_of_three,
  fault_vs_migrate,
  fault_vs_munmap,
  fault_vs_fork,
  fault_vs_exit,
];
