// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run stale-tlb-entry-after-madvise

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { new_command, open_device } from '../vocabulary/mirror.ts';
import { migrating, thread } from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

const regression: RegressionCase = {
  state: 'no-60bae7370896',
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
