// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run snapshot-of-huge-device-private

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-10b9feee2d0d',
  fails: { kind: 'assertion', text: 'page 0 is 0xff' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    const bytes = yield* snapshot(c, fd, b, HUGE_PAGES);
    const want = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE | U.HMM_DMIRROR_PROT_PMD;
    for (let i = 0; i < HUGE_PAGES; i++) {
      const byte = typeof bytes === 'number' ? bytes : bytes[i];
      x.check(byte === want, `page ${i} is ${hex(byte)} in the snapshot, not ${hex(want)}`);
    }
  },
};

export default regression;
