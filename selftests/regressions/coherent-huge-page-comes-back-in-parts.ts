// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run coherent-huge-page-comes-back-in-parts

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE, HUGE_PAGES, PAGE, RW } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-coherent-split',
  fails: { kind: 'oops', text: 'uncharge_folio' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_RELEASE, b, 1, 'releasing the memory');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    // The pmd is split, the folio is not.
    yield* c.mprotect(b.ptr + 88 * PAGE, PAGE, U.PROT_READ);
    yield* c.mprotect(b.ptr + 88 * PAGE, PAGE, RW);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, HUGE_PAGES, 'migrating back');
    yield* expect_kept(c, x, b, [0, 88, 511]);
    x.check((yield* c.munmap(b.ptr, HUGE)) === 0, 'munmap failed');
    x.check(b.cpages === HUGE_PAGES, `cpages is ${b.cpages}`);
  },
};

export default regression;
