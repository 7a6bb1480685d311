// SPDX-License-Identifier: GPL-2.0-only
//
// With the fix the entry is what it should be: who touches the page gets SIGBUS, the other pages come back.
//
// Running: npm run -s regression -- run hmm-v14-broken-device-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { must_move, must_v14, open_v14, V14_BREAK, V14_TO_DEVICE, V14_TO_SYSTEM } from '../vocabulary/hmm_v14.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-skipped-looks-migrated',
  fails: { kind: 'assertion', text: '3 of 3 pages moved, not 2' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 3);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 3, 3);
    yield* must_v14(c, x, fd, V14_BREAK, b.ptr + PAGE);
    yield* must_move(c, x, fd, V14_TO_SYSTEM, b.ptr, 3, 2);
    const sig = yield* c.catch_signal(function* () {
      yield* c.load32(b.ptr + PAGE);
    });
    x.check(sig === U.SIGBUS, `touching the page ended with signal ${sig}`);
    yield* expect_kept(c, x, b, [0, 2]);
  },
};

export default regression;
