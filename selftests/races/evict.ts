// SPDX-License-Identifier: GPL-2.0-only
// Closing a mirror evicts the device's memory, and RELEASE takes it away, without the mmap lock of those who use it.

import type { CaseContext, RaceCase } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { fork_behind, open_gate, shut_gate } from '../vocabulary/events.ts';
import { expect_ret, expect_word, expect_words } from '../vocabulary/expect.ts';
import { filled, increment, OLD, olds, PAGE } from '../vocabulary/memory.ts';
import {
  dmirror,
  expect_end,
  in_memory,
  new_command,
  on_device,
  open_device,
  to_device,
} from '../vocabulary/mirror.ts';
import {
  closing,
  forked,
  incrementing,
  migrating,
  moving,
  releasing,
  thread,
  unmapping,
} from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

const close_vs_fault: RaceCase = {
  name: 'close-vs-fault',
  summary:
    "a mirror is closed, which evicts all of the device's memory, while a thread faults pages of another mirror of it",
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const { fd: other, ptr } = yield* on_device(c, x, 2);
    yield* x.together([closing(x, fd), incrementing(ptr, [1, 0])]);
    yield* expect_end(c, x, other, ptr, olds(2, [1]));
  },
};

const close_vs_migrate: RaceCase = {
  name: 'close-vs-migrate',
  summary:
    "a mirror is closed, which evicts all of the device's memory, while another mirror of it migrates pages there",
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const other = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, other, ptr, 1);
    const cmd = yield* new_command(c, ptr, 2);
    yield* x.together([closing(x, fd), migrating(x, other, cmd, { values: olds(2) })]);
    yield* expect_words(c, x, ptr, olds(2), 'in the end');
    yield* c.close(other);
  },
};

const close_vs_munmap: RaceCase = {
  name: 'close-vs-munmap',
  summary: 'a mirror is closed while a thread unmaps one of its device-private pages',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    yield* x.together([closing(x, fd), unmapping(x, ptr + PAGE, 1)]);
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
    yield* x.together([closing(x, fd), moving(x, ptr, 2, to)]);
    yield* expect_words(c, x, to, olds(2), 'in the end');
  },
};

const close_vs_fork: RaceCase = {
  name: 'close-vs-fork',
  summary:
    'a mirror is closed while a thread forks that has pages of another one; parent and child keep the pages and do not see what the other writes',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const { fd: other, ptr } = yield* on_device(c, x, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      closing(x, fd),
      thread('fork', function* (t) {
        yield* fork_behind(t, x, gate, function* (child) {
          yield* expect_words(child, x, ptr, olds(2), 'the child');
          yield* child.store32(ptr, 8);
          yield* expect_word(child, x, ptr, 0, [8], 'the child, after its store');
        });
        yield* t.store32(ptr + PAGE, 9);
      }),
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_words(c, x, ptr, [[OLD], [9]], 'in the end');
    yield* c.close(other);
  },
};

const close_vs_exit: RaceCase = {
  name: 'close-vs-exit',
  summary: 'a mirror is closed while a process exits that shares its device-private pages',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    yield* x.together([
      forked('exit', function* (t) {
        yield* t.close(fd);
      }),
      closing(x, fd),
    ]);
    yield* expect_words(c, x, ptr, olds(2), 'in the end');
  },
};

const release_vs_fault: RaceCase = {
  name: 'release-vs-fault',
  summary: "the device's memory is taken away (RELEASE) while a thread faults the pages in it",
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    const cmd = yield* new_command(c, ptr, 2);
    yield* x.together([releasing(x, fd, cmd), incrementing(ptr, [1, 0])]);
    yield* expect_words(c, x, ptr, olds(2, [1]), 'in the end');
    yield* c.close(fd);
  },
};

/** RELEASE against a thread that migrates npages pages to the device and then adds one to each. */
export function* releasing_under_migration(c: Libc, x: CaseContext, npages: number): Gen<void> {
  const { fd, ptr, cmd } = yield* in_memory(c, x, npages);
  const migrate = yield* new_command(c, ptr, npages);
  yield* x.together([
    releasing(x, fd, cmd),
    thread('migrate', function* (t) {
      expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate), [0, -U.ENOENT], 'MIGRATE_TO_DEV');
      yield* increment(t, ptr, [...Array(npages).keys()]);
    }),
  ]);
  yield* expect_words(c, x, ptr, olds(npages, [1]), 'in the end');
  yield* c.close(fd);
}

const release_vs_migrate: RaceCase = {
  name: 'release-vs-migrate',
  summary:
    "the device's memory is taken away (RELEASE) while a thread migrates a page to it and then touches that page",
  *run(c, x) {
    yield* releasing_under_migration(c, x, 1);
  },
};

export const evict_cases: readonly RaceCase[] = [
  close_vs_fault,
  close_vs_migrate,
  close_vs_munmap,
  close_vs_mremap,
  close_vs_fork,
  close_vs_exit,
  release_vs_fault,
  release_vs_migrate,
];
