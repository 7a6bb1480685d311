// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: start inside of a device-private pmd
// Upstream: found with the model, by a case
//
// Bug:
//  1. A huge page is in the device's private memory, and a second mirror of the device reads it, 32 pages at a time.
//  2. From the second time on the walk starts inside of the huge page.
//  3. hmm_vma_handle_absent_pmd() counts from the pfn of the pmd's entry all the same: the driver is given the first
//     32 pages again and again.
//
// Running: npm run -s regression -- run walk-starts-inside-of-a-huge-private-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES, word } from '../vocabulary/memory.ts';
import { mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: start inside of a device-private pmd',
  upstream: 'found with the model, by a case',
  bug: [
    "A huge page is in the device's private memory, and a second mirror of the device reads it, 32 pages at a time.",
    'From the second time on the walk starts inside of the huge page.',
    "hmm_vma_handle_absent_pmd() counts from the pfn of the pmd's entry all the same: the driver is given the first 32 pages again and again.",
  ],
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
