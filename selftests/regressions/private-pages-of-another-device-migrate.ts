// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run private-pages-of-another-device-migrate

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept, hex } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-800bb1c8dc80',
  with: ['src-owner'],
  fails: { kind: 'assertion', text: 'device 1 finds 0x2,0x2,0x2,0x2, not 0x2,0x2,0x22,0x22' },
  *run(c, x) {
    const fds = [yield* open_device(c, x, 0), yield* open_device(c, x, 1)];
    const b = yield* small_buffer(c, x, 4);
    for (const n of [0, 1]) {
      const ret = yield* command(c, fds[n], U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 2 * n);
      x.check(ret === 0, `migrating to device ${n} ended with ${ret}`);
    }
    yield* must(c, x, fds[0], U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 4, 'migrating back from device 0');
    const bytes = yield* snapshot(c, fds[1], b, 4);
    const local = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE;
    const want = [U.HMM_DMIRROR_PROT_WRITE, U.HMM_DMIRROR_PROT_WRITE, local, local].map(hex).join();
    const found = (typeof bytes === 'number' ? [bytes] : bytes).map(hex).join();
    x.check(found === want, `device 1 finds ${found}, not ${want}`);
    yield* expect_kept(c, x, b, [0, 1, 2, 3]);
  },
};

export default regression;
