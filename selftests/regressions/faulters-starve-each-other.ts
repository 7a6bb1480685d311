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
    'hmm1:17:0.1>2,6.2>4,86.4>3,288.1>3,489.2>1,490.1>3,691.2>1,692.1>3,893.2>1,894.1>3,1095.2>1,1096.1>3,1297.2>1',
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
