// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-in-a-device-page-table

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'offsets-no-hmm-flag',
  fails: { kind: 'assertion', text: 'in the snapshot of its own device' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    const seen = yield* snapshot(c, fd, b, 1);
    const byte = typeof seen === 'number' ? seen : seen[0];
    x.check(
      byte === (U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE),
      `the page is ${hex(byte)} in the snapshot of its own device`,
    );
  },
};

export default regression;
