// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: return -EFAULT when setting HMM_PFN_ERROR on requested valid pages
// Upstream: merged (no commit id at hand)
//
// Bug:
//  1. Device 0 holds a huge page; the pmd is a device-private entry.
//  2. Device 1 asks hmm_range_fault() for a page of it, to be faulted in.
//  3. The walk sets HMM_PFN_ERROR for the page and answers 0, so that the driver takes an error for a page.
//
// Running: npm run -s regression -- run error-on-requested-huge-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { command, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: return -EFAULT when setting HMM_PFN_ERROR on requested valid pages',
  upstream: 'merged (no commit id at hand)',
  bug: [
    'Device 0 holds a huge page; the pmd is a device-private entry.',
    'Device 1 asks hmm_range_fault() for a page of it, to be faulted in.',
    'The walk sets HMM_PFN_ERROR for the page and answers 0, so that the driver takes an error for a page.',
  ],
  without: ['no-hmm-error-efault'],
  with: [],
  fails: { kind: 'warning', text: 'dmirror_do_fault' },
  *run(c, x) {
    const one = yield* open_device(c, x, 0);
    const two = yield* open_device(c, x, 1);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, one, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to device 0');
    yield* command(c, two, U.HMM_DMIRROR_WRITE, b, 1);
  },
};

export default regression;
