// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run stale-tlb-entry-after-reclaim

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_ret } from '../vocabulary/expect.ts';
import { lazily_freed, PAGE, small_buffer } from '../vocabulary/memory.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

const regression: RegressionCase = {
  state: 'no-3ea277194daa',
  fails: { kind: 'assertion', text: 'madvise() threw away' },
  schedule: 'hmm1:500:0.1>2,2.2>1,9.1>2',
  *run(c, x) {
    const b = yield* small_buffer(c, x, 1);
    yield* lazily_freed(c, x, b.ptr);
    yield* x.together([
      thread('reclaim', function* (t) {
        expect_ret(x, yield* t.madvise(b.ptr, PAGE, U.MADV_PAGEOUT), [0], 'MADV_PAGEOUT');
      }),
      thread('madvise', function* (t) {
        yield* t.load32(b.ptr);
        expect_ret(x, yield* t.madvise(b.ptr, PAGE, U.MADV_DONTNEED), [0], 'MADV_DONTNEED');
        x.check((yield* t.load32(b.ptr)) === 0, 'the page still holds what madvise() threw away');
      }),
    ]);
  },
};

export default regression;
