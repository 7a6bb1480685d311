// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run private-page-freed-before-migrate-to-ram

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-16ce101db85d',
  fails: { kind: 'oops', text: 'use-after-free' },
  schedule: 'hmm1:25:7.1>2,11.2>1',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* x.together(
      [1, 2].map((n) =>
        thread(`touch ${n}`, function* (t) {
          yield* t.load32(b.ptr);
        }),
      ),
    );
    yield* expect_kept(c, x, b);
  },
};

export default regression;
