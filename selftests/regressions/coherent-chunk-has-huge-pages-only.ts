// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run coherent-chunk-has-huge-pages-only

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES, small_buffer, word } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-coherent-chunk',
  fails: { kind: 'assertion', text: 'ended with -2' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* huge_buffer(c, x);
    const one = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_RELEASE, one, 1, 'releasing the memory');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating a huge page');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, one, 1, 'migrating a single page');
    x.check((yield* mirrored(c, one, 0)) === word(0), 'the device read something else');
  },
};

export default regression;
