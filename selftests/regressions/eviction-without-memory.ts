// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run eviction-without-memory

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-c2af060d1c18',
  fails: { kind: 'oops', text: 'NULL pointer dereference' },
  config: { fault_injection: true },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    const n = yield* c.write_file('/proc/self/fail-nth', '1');
    x.check(n === 1, `asking for a failing allocation ended with errno ${c.errno}`);
    yield* c.close(fd);
    yield* expect_kept(c, x, b);
  },
};

export default regression;
