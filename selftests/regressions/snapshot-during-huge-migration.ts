// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run snapshot-during-huge-migration

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { hex } from '../vocabulary/expect.ts';
import { ANON, fill, HUGE, HUGE_PAGES, PAGE, RW } from '../vocabulary/memory.ts';
import { command, open_device, snapshot } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-hmm-walk-pmd-pfns',
  fails: { kind: 'assertion', text: 'a small page' },
  schedule: 'hmm1:64:24.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const other = yield* open_device(c, x, 1);
    const b = (yield* hmm_buffer_alloc(c, 3 * HUGE, HUGE, RW, ANON, -1)) as HmmBuffer;
    const huge = Math.ceil((b.ptr + 32 * PAGE) / HUGE) * HUGE;
    b.ptr = huge - 32 * PAGE;
    yield* c.madvise(b.ptr, 32 * PAGE, U.MADV_NOHUGEPAGE);
    yield* c.madvise(huge, HUGE, U.MADV_HUGEPAGE);
    yield* fill(c, b.ptr, 64);
    const moved = { ...b, ptr: huge, mirror: yield* c.malloc(HUGE) };
    let bytes: number[] | number = 0;
    yield* x.together([
      thread('migrate the huge page', function* (t) {
        yield* command(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, moved, HUGE_PAGES);
      }),
      thread('take a snapshot', function* (t) {
        bytes = yield* snapshot(t, other, b, 64);
      }),
    ]);
    const seen = bytes as number[] | number;
    if (typeof seen === 'number') return;
    const small = U.HMM_DMIRROR_PROT_WRITE;
    for (let i = 32; i < 64; i++)
      x.check(
        seen[i] !== small,
        `page ${i - 32} of the huge page is ${hex(small)} in the snapshot: a small page in system memory, which it never was`,
      );
  },
};

export default regression;
