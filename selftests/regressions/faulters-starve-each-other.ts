// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run faulters-starve-each-other

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-1afaeb8293c9',
  fails: { kind: 'livelock', text: 'no end after' },
  budget: 2000,
  schedule:
    'hmm1:9:0.1>4,4.4>2,60.2>3,69.4>2,74.2>3,275.4>1,276.1>3,477.4>1,478.1>3,679.4>1,680.1>3,881.4>1,882.1>3,1083.4>1,1084.1>3,1285.4>1,1286.1>3,1487.4>1,1488.1>3,1689.4>1,1690.1>3,1891.4>1,1892.1>3',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* x.together(
      [1, 2, 3, 4].map((n) =>
        thread(`touch ${n}`, function* (t) {
          yield* t.load32(b.ptr);
        }),
      ),
    );
    yield* expect_kept(c, x, b);
  },
};

export default regression;
