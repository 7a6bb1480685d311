// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-pinned-page-leaves-the-lru

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { must_move, must_v14, open_v14, V14_HOLD, V14_RELEASE, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { small_buffer } from '../vocabulary/memory.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-pinned-off-lru',
  fails: { kind: 'assertion', text: '1 of 2 pages moved, not 2' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 2);
    yield* must_v14(c, x, fd, V14_HOLD, b.ptr);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 2, 1);
    yield* expect_kept(c, x, b, [1]);
    yield* must_v14(c, x, fd, V14_RELEASE, 0);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 2, 2);
    yield* expect_kept(c, x, b);
  },
};

export default regression;
