// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-block

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_v14, open_v14, V14_ACCESS } from '../vocabulary/hmm_v14.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-block-ignored',
  fails: { kind: 'oops', text: 'bad read unlock of mmap_lock' },
  schedule: 'hmm1:1:7.1>2',
  *run(c, x) {
    const other = yield* open_device(c, x, 0);
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, other, U.HMM_DMIRROR_EXCLUSIVE, b, 1, 'exclusive access');
    yield* c.store32(b.mirror, 0);
    yield* x.together([
      thread('touch', function* (t) {
        yield* t.load32(b.ptr);
      }),
      thread('access by the device', function* (t) {
        yield* must_v14(t, x, fd, V14_ACCESS, b.ptr, 1, b.mirror);
      }),
    ]);
    x.check((yield* c.load32(b.mirror)) === word(0), 'the device read something else');
  },
};

export default regression;
