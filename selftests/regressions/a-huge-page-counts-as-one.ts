// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib/test_hmm: count the pages of a huge page that came back
// Upstream: recorded results of migrate_multiple
//
// Bug:
//  1. A huge page in device memory comes back as a whole; one entry, marked as compound, stands for it.
//  2. dmirror_successful_migrated_pages() counts entries.
//  3. The caller is told that 1 page came back, where it was 512.
//
// Running: npm run -s regression -- run a-huge-page-counts-as-one

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib/test_hmm: count the pages of a huge page that came back',
  upstream: 'recorded results of migrate_multiple',
  bug: [
    'A huge page in device memory comes back as a whole; one entry, marked as compound, stands for it.',
    'dmirror_successful_migrated_pages() counts entries.',
    'The caller is told that 1 page came back, where it was 512.',
  ],
  without: [],
  with: ['fix-compound-cpages'],
  fails: { kind: 'assertion', text: 'cpages is 1' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, HUGE_PAGES, 'migrating back');
    x.check(b.cpages === HUGE_PAGES, `cpages is ${b.cpages}`);
  },
};

export default regression;
