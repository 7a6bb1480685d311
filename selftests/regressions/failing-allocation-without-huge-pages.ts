// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run failing-allocation-without-huge-pages

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES, word } from '../vocabulary/memory.ts';
import { command, mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-fail-alloc-huge',
  fails: { kind: 'assertion', text: 'ended with -2' },
  config: { thp: 'never' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    const ret = yield* command(c, fd, U.HMM_DMIRROR_FLAGS, b, U.HMM_DMIRROR_FLAG_FAIL_ALLOC);
    x.check(ret === 0, `setting the flag ended with ${ret}`);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    for (const i of [0, 300, 511])
      x.check((yield* mirrored(c, b, i)) === word(i), `the device read something else from page ${i}`);
  },
};

export default regression;
