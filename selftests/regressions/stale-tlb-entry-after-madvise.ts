// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/migrate_device.c: flush TLB while holding PTL
// Upstream: 60bae7370896
//
// Bug:
//  1. Migration puts a migration entry in a pte's place and gives the page-table lock back; the TLBs still hold the page.
//  2. Another thread frees the range by madvise(MADV_DONTNEED), which finds nothing present and so flushes nothing.
//  3. madvise() has returned, and the thread still reads what it threw away; only then does the migration flush.
//
// Running: npm run -s regression -- run stale-tlb-entry-after-madvise

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { new_command, open_device } from '../vocabulary/mirror.ts';
import { migrating, thread } from '../vocabulary/racers.ts';
import * as U from '../../harness/kselftest/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/migrate_device.c: flush TLB while holding PTL',
  upstream: '60bae7370896',
  bug: [
    "Migration puts a migration entry in a pte's place and gives the page-table lock back; the TLBs still hold the page.",
    'Another thread frees the range by madvise(MADV_DONTNEED), which finds nothing present and so flushes nothing.',
    'madvise() has returned, and the thread still reads what it threw away; only then does the migration flush.',
  ],
  without: ['no-60bae7370896'],
  with: [],
  fails: { kind: 'assertion', text: 'madvise() threw away' },
  schedule: 'hmm1:1:0.1>2,3.2>1,9.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    // A page that was shared is not exclusive: its pte is not flushed one by one.
    yield* c.waitpid(
      yield* c.fork(function* () {
        // the child does nothing
      }),
    );
    const cmd = yield* new_command(c, b.ptr, 1);
    yield* x.together([
      migrating(x, fd, cmd),
      thread('madvise', function* (t) {
        yield* expect_kept(t, x, b);
        yield* t.madvise(b.ptr, PAGE, U.MADV_DONTNEED);
        x.check((yield* t.load32(b.ptr)) === 0, 'the page still holds what madvise() threw away');
      }),
    ]);
  },
};

export default regression;
