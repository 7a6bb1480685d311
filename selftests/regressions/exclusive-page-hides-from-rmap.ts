// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-page-hides-from-rmap

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { command, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-exclusive-mapcount',
  fails: { kind: 'assertion', text: 'page 100 is' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    const ret = yield* command(c, fd, U.HMM_DMIRROR_EXCLUSIVE, b, 1, 5);
    x.check(ret === 0, `taking page 5 for exclusive access ended with ${ret}`);
    yield* command(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES);
    const bytes = yield* snapshot(c, fd, b, 1, 100);
    const byte = typeof bytes === 'number' ? bytes : bytes[0];
    const want = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE;
    x.check(byte === want, `page 100 is ${hex(byte)} in the snapshot, not ${hex(want)}: it has not moved`);
  },
};

export default regression;
