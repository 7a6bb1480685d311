// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-pinned-while-unmapped

import type { Racer } from '../../harness/explore/engine.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { must_v14, open_v14, v14, V14_HOLD, V14_RELEASE, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { thread, touch } from '../vocabulary/racers.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-pinned-not-restored',
  fails: { kind: 'deadlock', text: 'waits for folio' },
  schedule: 'hmm1:1:22.1>2',
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 1);
    const racer = (name: string, request: number): Racer =>
      thread(name, function* (t) {
        yield* v14(t, fd, request, b.ptr);
      });
    yield* x.together([racer('migrate', V14_TO_DEVICE), racer('hold', V14_HOLD)]);
    yield* touch(x, [b.ptr]);
    yield* expect_kept(c, x, b);
    yield* must_v14(c, x, fd, V14_RELEASE, 0);
  },
};

export default regression;
