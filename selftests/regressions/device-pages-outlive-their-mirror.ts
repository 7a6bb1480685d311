// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run device-pages-outlive-their-mirror

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-evict-on-close',
  fails: { kind: 'oops', text: 'use-after-free' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    yield* c.close(fd);
    yield* expect_kept(c, x, b, [1]);
  },
};

export default regression;
