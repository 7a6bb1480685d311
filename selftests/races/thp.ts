// SPDX-License-Identifier: GPL-2.0-only
// Huge pages on the device against faults, splits and migration.

import type { RaceCase } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { type Checks, expect_ret, expect_word } from '../vocabulary/expect.ts';
import { OLD, PAGE } from '../vocabulary/memory.ts';
import { type Command, dmirror, new_command, open_device } from '../vocabulary/mirror.ts';
import { incrementing, migrating, protecting, storing, thread, unmapping } from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

const HPAGE = 2 * 1024 * 1024;
const NR = 512;

/** A huge page of anonymous memory; the first words of its pages `used` are OLD + i. */
function* huge(c: Libc, x: Checks, used: readonly number[]): Gen<number> {
  const map = yield* c.mmap(U.NULL, 2 * HPAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
  x.check(map !== U.MAP_FAILED, 'mmap');
  const ptr = Math.ceil(map / HPAGE) * HPAGE;
  for (const i of used) yield* c.store32(ptr + i * PAGE, OLD + i);
  return ptr;
}

/**
 * A command for a whole huge page. Its mirror is not mapped, so that the driver's copying back, 512 pages of it, ends
 * at the first: -EFAULT then says that the rest went well.
 */
export function* huge_command(c: Libc, ptr: number): Gen<Command> {
  const cmd = yield* new_command(c, ptr, 1);
  yield* c.store64(cmd.at + U.HMM_DMIRROR_CMD.ptr, PAGE);
  yield* c.store64(cmd.at + U.HMM_DMIRROR_CMD.npages, NR);
  return cmd;
}

function* huge_to_device(c: Libc, x: Checks, fd: number, ptr: number): Gen<void> {
  const cmd = yield* huge_command(c, ptr);
  expect_ret(
    x,
    yield* dmirror(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd),
    [-U.EFAULT],
    'migrating to the device beforehand',
  );
}

/** What comes before every case: the device gets its memory for huge pages, which takes longer than all else. */
export function* warm(c: Libc): Gen<void> {
  const x: Checks = {
    check(ok, what) {
      if (!ok) throw new Error(what);
    },
  };
  const fd = yield* open_device(c, x);
  yield* huge_to_device(c, x, fd, yield* huge(c, x, [0]));
  yield* c.close(fd);
}

const thp_fault_vs_fault: RaceCase = {
  name: 'thp-fault-vs-fault',
  summary: 'two threads touch different pages of one huge page on the device',
  warm,
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* huge(c, x, [0, 300]);
    yield* huge_to_device(c, x, fd, ptr);
    yield* x.together([
      thread('load', function* (t) {
        yield* expect_word(t, x, ptr, 300, [OLD + 300], 'the reader');
      }),
      storing(ptr, 7),
    ]);
    yield* expect_word(c, x, ptr, 0, [7], 'in the end');
    yield* expect_word(c, x, ptr, 300, [OLD + 300], 'in the end');
    yield* c.close(fd);
  },
};

const thp_fault_vs_munmap: RaceCase = {
  name: 'thp-fault-vs-munmap',
  summary: 'a thread stores to a huge page on the device while another unmaps its upper half',
  warm,
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* huge(c, x, [0, 1, 300]);
    yield* huge_to_device(c, x, fd, ptr);
    yield* x.together([storing(ptr, 7), unmapping(x, ptr + HPAGE / 2, NR / 2)]);
    yield* expect_word(c, x, ptr, 0, [7], 'in the end');
    yield* expect_word(c, x, ptr, 1, [OLD + 1], 'in the end');
    yield* c.close(fd);
  },
};

const thp_fault_vs_migrate: RaceCase = {
  name: 'thp-fault-vs-migrate',
  summary: 'a thread adds one to words of a huge page while it migrates to the device',
  warm,
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* huge(c, x, [0, 300]);
    const cmd = yield* huge_command(c, ptr);
    yield* x.together([incrementing(ptr, [300, 0]), migrating(x, fd, cmd, { rets: [-U.EFAULT, -U.ENOENT] })]);
    for (const i of [0, 300]) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* c.close(fd);
  },
};

const read_vs_split: RaceCase = {
  name: 'read-vs-split',
  summary: 'the device reads and a snapshot is taken of a huge page that is split under them (mprotect of one page)',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* huge(c, x, [0, 1, 300]);
    const cmd = yield* new_command(c, ptr, 2);
    const snapshot = yield* new_command(c, ptr, 2);
    yield* x.together([
      thread('read', function* (t) {
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
        for (const i of [0, 1]) yield* expect_word(t, x, cmd.mirror, i, [OLD + i], 'the device');
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_SNAPSHOT, snapshot), [0], 'SNAPSHOT');
        for (const i of [0, 1]) {
          const seen = yield* t.load8(snapshot.mirror + i);
          const whole = U.HMM_DMIRROR_PROT_WRITE | U.HMM_DMIRROR_PROT_PMD;
          x.check(
            seen === whole || seen === U.HMM_DMIRROR_PROT_WRITE,
            `the snapshot of page ${i} is 0x${seen.toString(16)}`,
          );
        }
      }),
      protecting(x, ptr + 300 * PAGE, 1),
    ]);
    for (const i of [0, 1, 300]) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* c.store32(ptr, 9);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ after the race');
    yield* expect_word(c, x, cmd.mirror, 0, [9], 'the device, after the race');
    yield* c.close(fd);
  },
};

const write_vs_split: RaceCase = {
  name: 'write-vs-split',
  summary: 'the device writes to a huge page that another thread makes read-only in part',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* huge(c, x, [0, 1, 2]);
    const cmd = yield* new_command(c, ptr, 2, 7);
    let ret = 0;
    yield* x.together([
      thread('write', function* (t) {
        ret = yield* dmirror(t, fd, U.HMM_DMIRROR_WRITE, cmd);
        expect_ret(x, ret, [0, -U.EPERM], 'WRITE');
      }),
      protecting(x, ptr + PAGE, 1),
    ]);
    yield* expect_word(c, x, ptr, 0, ret === 0 ? [7] : [OLD, 7], 'in the end');
    yield* expect_word(c, x, ptr, 1, ret === 0 ? [8] : [OLD + 1], 'in the end');
    yield* expect_word(c, x, ptr, 2, [OLD + 2], 'in the end');
    const again = yield* new_command(c, ptr + PAGE, 1, 70);
    expect_ret(x, yield* dmirror(c, fd, U.HMM_DMIRROR_WRITE, again), [-U.EPERM], 'WRITE to memory that is read-only');
    yield* c.close(fd);
  },
};

export const thp_cases: readonly RaceCase[] = [
  thp_fault_vs_fault,
  thp_fault_vs_munmap,
  thp_fault_vs_migrate,
  read_vs_split,
  write_vs_split,
];
