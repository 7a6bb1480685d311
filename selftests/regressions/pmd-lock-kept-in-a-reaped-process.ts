// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/migrate_device: fix spinlock leak in migrate_vma_insert_huge_pmd_page
// Upstream: 63451de16e0a
//
// Bug:
//  1. A process is killed, and its memory is taken before it is gone; its address space is not stable any more.
//  2. Another process, which has the mirror's descriptor, lets the device fill a huge place of it that is empty now.
//  3. migrate_vma_insert_huge_pmd_page() sees under the pmd lock that it must not, and leaves without giving the lock back.
//
// Running: npm run -s regression -- run pmd-lock-kept-in-a-reaped-process

import type { RegressionCase } from '../../harness/regression/case.ts';
import { kill_and_reap } from '../vocabulary/drivers.ts';
import { happen, new_event, wait_for } from '../vocabulary/events.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/migrate_device: fix spinlock leak in migrate_vma_insert_huge_pmd_page',
  upstream: '63451de16e0a',
  bug: [
    'A process is killed, and its memory is taken before it is gone; its address space is not stable any more.',
    "Another process, which has the mirror's descriptor, lets the device fill a huge place of it that is empty now.",
    'migrate_vma_insert_huge_pmd_page() sees under the pmd lock that it must not, and leaves without giving the lock back.',
  ],
  without: ['no-63451de16e0a'],
  with: [],
  fails: { kind: 'oops', text: 'ptlock_free() of a locked page table' },
  *run(c, x) {
    const done = yield* new_event(c, x);
    const victim = yield* c.fork(function* (v) {
      const fd = yield* open_device(v, x, 0);
      const b = yield* huge_buffer(v, x);
      const pid = v.getpid();
      yield* v.fork(function* (r) {
        yield* kill_and_reap(r, x, pid);
        const ret = yield* command(r, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES);
        x.check(ret === -U.ENOENT, `filling an empty place of a reaped process ended with ${ret}`);
        yield* happen(r, done);
      });
      yield* v.pause();
    });
    yield* wait_for(c, done);
    yield* c.waitpid(victim);
  },
};

export default regression;
