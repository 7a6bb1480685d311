// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run failing-allocation-on-the-way-back

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, command, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-fail-alloc-huge',
  bug: [
    'A huge page went to a coherent device as 512 single pages.',
    'The next allocation of the driver is to fail, so that bringing the huge page back shows what happens then: it must come back in single pages.',
    'The first single page is what fails: there is nothing smaller, and the whole migration ends with -ENOMEM.',
  ],
  without: ['fix-coherent-chunk'],
  with: ['fix-coherent-chunk', 'fix-fail-alloc-huge'],
  fails: { kind: 'assertion', text: 'ended with -12' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    const ret = yield* command(c, fd, U.HMM_DMIRROR_FLAGS, b, U.HMM_DMIRROR_FLAG_FAIL_ALLOC);
    x.check(ret === 0, `setting the flag ended with ${ret}`);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, HUGE_PAGES, 'migrating back');
    yield* expect_kept(c, x, b, [0, 300, 511]);
  },
};

export default regression;
