// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run coherent-chunk-is-mapped-twice

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-coherent-chunk',
  bug: [
    'The one chunk of a coherent device consists of single pages, since it is made when the module is loaded.',
    'A huge page is to migrate there; no huge device page is free, so a second chunk is asked for.',
    'It has the same addresses as the first: memremap_pages() finds the conflict, warns and fails.',
  ],
  fails: { kind: 'warning', text: 'memremap_pages' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* expect_kept(c, x, b, [0, 300, 511]);
  },
};

export default regression;
