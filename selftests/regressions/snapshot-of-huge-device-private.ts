// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: populate PFNs from PMD swap entry
// Upstream: 10b9feee2d0d
//
// Bug:
//  1. A huge page goes to the device as a whole; its pmd holds a device-private entry.
//  2. The device takes a snapshot of its own page tables.
//  3. hmm_vma_walk_pmd() takes the pmd, which is neither none nor present, for an error, for all 512 pages.
//
// Running: npm run -s regression -- run snapshot-of-huge-device-private

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: populate PFNs from PMD swap entry',
  upstream: '10b9feee2d0d',
  bug: [
    'A huge page goes to the device as a whole; its pmd holds a device-private entry.',
    'The device takes a snapshot of its own page tables.',
    'hmm_vma_walk_pmd() takes the pmd, which is neither none nor present, for an error, for all 512 pages.',
  ],
  without: ['no-10b9feee2d0d'],
  with: [],
  fails: { kind: 'assertion', text: 'page 0 is 0xff' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    const bytes = yield* snapshot(c, fd, b, HUGE_PAGES);
    const want = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE | U.HMM_DMIRROR_PROT_PMD;
    for (let i = 0; i < HUGE_PAGES; i++) {
      const byte = typeof bytes === 'number' ? bytes : bytes[i];
      x.check(byte === want, `page ${i} is ${hex(byte)} in the snapshot, not ${hex(want)}`);
    }
  },
};

export default regression;
