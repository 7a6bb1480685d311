// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run error-on-requested-huge-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { command, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-hmm-error-efault',
  fails: { kind: 'warning', text: 'dmirror_do_fault' },
  *run(c, x) {
    const one = yield* open_device(c, x, 0);
    const two = yield* open_device(c, x, 1);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, one, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to device 0');
    yield* command(c, two, U.HMM_DMIRROR_WRITE, b, 1);
  },
};

export default regression;
