// SPDX-License-Identifier: GPL-2.0-only
// Pages that are the device's alone against CPU stores and against what takes them away or copies them.

import type { RaceCase } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { open_gate, shut_gate } from '../vocabulary/events.ts';
import { type Checks, expect_gone, expect_stores, expect_words } from '../vocabulary/expect.ts';
import { olds } from '../vocabulary/memory.ts';
import {
  expect_both_coherent,
  expect_coherent,
  expect_not_exclusive,
  in_memory,
  new_command,
  to_exclusive,
  two_devices,
} from '../vocabulary/mirror.ts';
import {
  dropping,
  forking,
  incrementing,
  making_exclusive,
  migrating,
  storing,
  storing_words,
  unmapping,
} from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

/**
 * How most of them end: the pages at ptr hold `values`, the CPU has them back, the device sees them too, and its mirror
 * is closed.
 */
function* expect_given_back(
  c: Libc,
  x: Checks,
  fd: number,
  ptr: number,
  values: readonly (readonly number[])[],
): Gen<void> {
  yield* expect_words(c, x, ptr, values, 'in the end');
  yield* expect_not_exclusive(c, x, fd, ptr, values.length);
  yield* expect_coherent(c, x, fd, ptr, values.length);
  yield* c.close(fd);
}

const exclusive_vs_store: RaceCase = {
  name: 'exclusive-vs-store',
  summary: 'pages become exclusive to the device while a thread adds one to each',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([making_exclusive(x, fd, cmd, { values: olds(2, [0, 1]) }), incrementing(ptr, [0, 1])]);
    yield* expect_given_back(c, x, fd, ptr, olds(2, [1]));
  },
};

const exclusive_vs_stores: RaceCase = {
  name: 'exclusive-vs-two-stores',
  summary: 'two threads store to one page that is exclusive to the device while it is made so once more',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 1);
    yield* to_exclusive(c, x, fd, cmd);
    yield* x.together([making_exclusive(x, fd, cmd, { values: olds(1) }), ...storing_words(ptr, [1, 2])]);
    yield* expect_stores(c, x, ptr, [1, 2]);
    yield* expect_not_exclusive(c, x, fd, ptr, 1);
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const exclusive_vs_munmap: RaceCase = {
  name: 'exclusive-vs-munmap',
  summary: 'pages become exclusive to the device while a thread unmaps them',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([
      making_exclusive(x, fd, cmd, { rets: [0, -U.ENOENT, -U.EFAULT], values: olds(2) }),
      unmapping(x, ptr, 2),
    ]);
    yield* expect_gone(c, x, ptr, 'munmap');
    yield* expect_not_exclusive(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const exclusive_fault_vs_munmap: RaceCase = {
  name: 'exclusive-fault-vs-munmap',
  summary: 'a thread stores to a page that is exclusive to the device while another drops it (MADV_DONTNEED)',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 1);
    yield* to_exclusive(c, x, fd, cmd);
    yield* x.together([storing(ptr, 7), dropping(x, ptr, 1)]);
    yield* expect_given_back(c, x, fd, ptr, [[0, 7]]);
  },
};

const exclusive_vs_fork: RaceCase = {
  name: 'exclusive-vs-fork',
  summary: 'pages become exclusive to the device while a thread forks; the child has pages of its own',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      making_exclusive(x, fd, cmd, { values: olds(2) }),
      forking(x, gate, function* (child) {
        yield* expect_words(child, x, ptr, olds(2), 'the child');
        yield* child.store32(ptr, 8);
      }),
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_given_back(c, x, fd, ptr, olds(2));
  },
};

const exclusive_vs_migrate: RaceCase = {
  name: 'exclusive-vs-migrate',
  summary: 'one device makes pages exclusive while another migrates them to its memory',
  *run(c, x) {
    const { fds, ptr, cmds } = yield* two_devices(c, x);
    yield* x.together([
      making_exclusive(x, fds[0], cmds[0], { values: olds(2) }),
      migrating(x, fds[1], cmds[1], { values: olds(2) }),
    ]);
    yield* expect_words(c, x, ptr, olds(2), 'in the end');
    yield* expect_not_exclusive(c, x, fds[0], ptr, 2);
    yield* expect_both_coherent(c, x, fds, ptr);
  },
};

const exclusive_vs_own_migrate: RaceCase = {
  name: 'exclusive-vs-own-migrate',
  summary: 'one mirror makes pages exclusive and migrates them to its device at once',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    const migrate = yield* new_command(c, ptr, 2);
    yield* x.together([making_exclusive(x, fd, cmd), migrating(x, fd, migrate)]);
    yield* expect_given_back(c, x, fd, ptr, olds(2));
  },
};

export const exclusive_cases: readonly RaceCase[] = [
  exclusive_vs_store,
  exclusive_vs_stores,
  exclusive_vs_munmap,
  exclusive_fault_vs_munmap,
  exclusive_vs_fork,
  exclusive_vs_migrate,
  exclusive_vs_own_migrate,
];
