// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run huge-private-page-of-a-child-replaced

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { HmmBuffer } from '../hmm-tests/buffer.ts';
import { happen, new_event, wait_for } from '../vocabulary/events.ts';
import { HUGE, huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const CHILD = 77;

/**
 * A child puts a huge page of its own, which holds `value`, in the place of the one that it shares, and on the device,
 * whose descriptor it answers.
 */
export function* own_page_on_device(child: Libc, x: CaseContext, b: HmmBuffer, value: number): Gen<number> {
  const fd = yield* open_device(child, x, 0);
  yield* child.madvise(b.ptr, HUGE, U.MADV_DONTNEED);
  yield* child.store32(b.ptr, value);
  yield* must(child, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, "migrating the child's page");
  return fd;
}

const regression: RegressionCase = {
  state: 'no-f84ca9b1888d',
  bug: [
    "A process and its child have huge pages of their own at the same address; the child's is on the device.",
    'The process migrates its page. At the end remove_migration_ptes() looks for migration entries in the child too.',
    "page_vma_mapped_walk() stops at the child's device-private pmd, though migration entries are wanted, and the child gets its parent's page.",
  ],
  fails: { kind: 'assertion', text: 'the child reads' },
  *run(c, x) {
    const b = yield* huge_buffer(c, x);
    const migrated = yield* new_event(c, x);
    const go = yield* new_event(c, x);
    const pid = yield* c.fork(function* (child) {
      yield* own_page_on_device(child, x, b, CHILD);
      yield* happen(child, migrated);
      yield* wait_for(child, go);
      const v = yield* child.load32(b.ptr);
      x.check(v === CHILD, `the child reads ${v}, it wrote ${CHILD}`);
    });
    yield* wait_for(c, migrated);
    const fd = yield* open_device(c, x, 0);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, "migrating the parent's page");
    yield* happen(c, go);
    yield* c.waitpid(pid);
  },
};

export default regression;
