// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run half-unmapped-coherent-huge-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE, HUGE_PAGES } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-coherent-deferred-split',
  fails: { kind: 'warning', text: 'uncharge_folio' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_RELEASE, b, 1, 'releasing the memory');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    for (const at of [0, HUGE / 2]) x.check((yield* c.munmap(b.ptr + at, HUGE / 2)) === 0, 'munmap failed');
  },
};

export default regression;
