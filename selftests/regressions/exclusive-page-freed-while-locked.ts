// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-page-freed-while-locked

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { dropping, thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-7c7b962938dd',
  fails: { kind: 'oops', text: 'Bad page state' },
  schedule: 'hmm1:1:7.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_EXCLUSIVE, b, 1, 'taking the page for exclusive access');
    // Takes the page out of the CPU's batches, whose references would keep it.
    yield* c.madvise(b.ptr + PAGE, PAGE, U.MADV_POPULATE_WRITE);
    yield* x.together([
      thread('touch the page', function* (t) {
        yield* t.load32(b.ptr);
      }),
      dropping(x, b.ptr, 1),
    ]);
  },
};

export default regression;
