// SPDX-License-Identifier: GPL-2.0-only
// Migration against another migration of the same range and against what changes the address space under it.

import type { RaceCase } from '../../harness/explore/engine.ts';
import { fork_behind, open_gate, shut_gate } from '../vocabulary/events.ts';
import { expect_gone, expect_word, expect_words } from '../vocabulary/expect.ts';
import { filled, OLD, olds, PAGE } from '../vocabulary/memory.ts';
import {
  expect_both_coherent,
  expect_coherent,
  expect_end,
  in_memory,
  new_command,
  on_device,
  open_device,
  two_devices,
} from '../vocabulary/mirror.ts';
import { forked, incrementing, migrating, migrating_back, moving, thread, unmapping } from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

const migrate_vs_migrate: RaceCase = {
  name: 'migrate-two-devices',
  summary: 'two devices migrate one range',
  *run(c, x) {
    const { fds, ptr, cmds } = yield* two_devices(c, x);
    yield* x.together([
      migrating(x, fds[0], cmds[0], { values: olds(2) }, 'migrate to 0'),
      migrating(x, fds[1], cmds[1], { values: olds(2) }, 'migrate to 1'),
    ]);
    yield* expect_words(c, x, ptr, olds(2), 'in the end');
    yield* expect_both_coherent(c, x, fds, ptr);
  },
};

const back_vs_fault: RaceCase = {
  name: 'migrate-back-vs-fault',
  summary: 'pages are brought back from the device by a command and by CPU faults at once',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    const cmd = yield* new_command(c, ptr, 2);
    yield* x.together([migrating_back(x, fd, cmd), incrementing(ptr, [1, 0])]);
    yield* expect_end(c, x, fd, ptr, olds(2, [1]));
  },
};

const migrate_vs_munmap: RaceCase = {
  name: 'migrate-vs-munmap',
  summary: 'pages migrate to the device while another thread unmaps the second of them',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([
      migrating(x, fd, cmd, { rets: [0, -U.ENOENT, -U.EINVAL], values: olds(2) }),
      unmapping(x, ptr + PAGE, 1),
    ]);
    yield* expect_word(c, x, ptr, 0, [OLD], 'in the end');
    yield* expect_gone(c, x, ptr + PAGE, 'munmap');
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const cow_vs_migrate: RaceCase = {
  name: 'cow-vs-migrate',
  summary: 'a child copies pages on write while its parent migrates them to the device',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([
      forked('child', function* (t) {
        yield* t.store32(ptr, 8);
        yield* expect_word(t, x, ptr, 1, [OLD + 1], 'the child');
        yield* expect_word(t, x, ptr, 0, [8], 'the child, after its store');
      }),
      migrating(x, fd, cmd, { values: olds(2) }),
    ]);
    yield* expect_end(c, x, fd, ptr, olds(2));
  },
};

const mremap_vs_migrate: RaceCase = {
  name: 'mremap-vs-migrate',
  summary: 'pages migrate to the device while another thread moves them to another address',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const to = yield* filled(c, x, 2);
    const cmd = yield* new_command(c, ptr, 2);
    yield* x.together([
      migrating(x, fd, cmd, { rets: [0, -U.ENOENT, -U.EINVAL], values: olds(2) }),
      moving(x, ptr, 2, to),
    ]);
    yield* expect_words(c, x, to, olds(2), 'in the end');
    yield* expect_gone(c, x, ptr, 'mremap');
    yield* expect_coherent(c, x, fd, to, 2);
    yield* c.close(fd);
  },
};

const migrate_vs_fork: RaceCase = {
  name: 'migrate-vs-fork',
  summary: 'pages migrate to the device while another thread forks and writes',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    const gate = yield* shut_gate(c, x);
    yield* x.together([
      migrating(x, fd, cmd, { values: [[OLD], [OLD + 1, 9]] }),
      thread('fork', function* (t) {
        yield* fork_behind(t, x, gate, function* (child) {
          yield* child.store32(ptr, 8);
          yield* expect_word(child, x, ptr, 1, [OLD + 1], 'the child');
        });
        yield* t.store32(ptr + PAGE, 9);
      }),
    ]);
    yield* open_gate(c, x, gate);
    yield* expect_end(c, x, fd, ptr, [[OLD], [9]]);
  },
};

export const migrate_cases: readonly RaceCase[] = [
  migrate_vs_migrate,
  back_vs_fault,
  migrate_vs_munmap,
  migrate_vs_fork,
  cow_vs_migrate,
  mremap_vs_migrate,
];
