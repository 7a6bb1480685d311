// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-migration-that-fails

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_move, must_v14, open_v14, V14_GRAB, V14_RELEASE, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import { touch } from '../vocabulary/racers.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-remaps-what-failed',
  fails: { kind: 'livelock', text: 'no end after' },
  budget: 3000,
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 2);
    yield* must_v14(c, x, fd, V14_GRAB, b.ptr);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 2, 1);
    yield* touch(x, [b.ptr]);
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page that stayed has lost its contents');
    x.check((yield* c.load32(b.ptr + PAGE)) === word(1), 'the page that moved has lost its contents');
    yield* must_v14(c, x, fd, V14_RELEASE, 0);
  },
};

export default regression;
