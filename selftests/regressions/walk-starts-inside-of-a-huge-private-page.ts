// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run walk-starts-inside-of-a-huge-private-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES, word } from '../vocabulary/memory.ts';
import { mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-hmm-absent-pmd-pfn',
  without: ['fix-dmirror-backing-page'],
  with: ['fix-dmirror-backing-page', 'fix-hmm-absent-pmd-pfn'],
  fails: { kind: 'assertion', text: 'something else from page 300' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const second = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* must(c, x, second, U.HMM_DMIRROR_READ, b, HUGE_PAGES, 'reading by the same device');
    for (const i of [0, 300, 511])
      x.check((yield* mirrored(c, b, i)) === word(i), `the device read something else from page ${i}`);
  },
};

export default regression;
