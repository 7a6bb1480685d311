// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run coherent-huge-page-cannot-come-back

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-collect-coherent-pmd',
  without: ['fix-compound-cpages'],
  with: ['fix-compound-cpages', 'fix-collect-coherent-pmd'],
  fails: { kind: 'assertion', text: 'cpages is 0' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_RELEASE, b, 1, 'releasing the memory');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, HUGE_PAGES, 'migrating back');
    x.check(b.cpages === HUGE_PAGES, `cpages is ${b.cpages}`);
    const bytes = yield* snapshot(c, fd, b, 1);
    const byte = typeof bytes === 'number' ? bytes : bytes[0];
    x.check((byte & U.HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL) === 0, `the page is ${hex(byte)} in the snapshot`);
  },
};

export default regression;
