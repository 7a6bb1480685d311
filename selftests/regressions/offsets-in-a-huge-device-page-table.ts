// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-in-a-huge-device-page-table

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

/** A device finds its huge page in its snapshot as what it is. */
export function* expect_huge_page_in_snapshot(c: Libc, x: CaseContext): Gen<void> {
  const fd = yield* open_device(c, x, 0);
  const b = yield* huge_buffer(c, x);
  yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
  const seen = yield* snapshot(c, fd, b, 2);
  const wanted = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE | U.HMM_DMIRROR_PROT_PMD;
  for (let i = 0; i < 2; i++) {
    const byte = typeof seen === 'number' ? seen : seen[i];
    x.check(
      byte === wanted,
      `page ${i} of the huge page is ${hex(byte)} in the snapshot of its own device, not ${hex(wanted)}`,
    );
  }
}

const regression: RegressionCase = {
  state: 'offsets-rfc-absent-pmd',
  fails: { kind: 'assertion', text: 'of the huge page is' },
  run: expect_huge_page_in_snapshot,
};

export default regression;
