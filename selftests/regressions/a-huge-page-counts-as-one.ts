// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run a-huge-page-counts-as-one

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-compound-cpages',
  fails: { kind: 'assertion', text: 'cpages is 1' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, HUGE_PAGES, 'migrating back');
    x.check(b.cpages === HUGE_PAGES, `cpages is ${b.cpages}`);
  },
};

export default regression;
