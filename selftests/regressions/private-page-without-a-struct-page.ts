// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: fix bad subpage pointer in try_to_unmap_one
// Upstream: (2019, reference/series.md, 23)
//
// Bug:
//  1. A page is on the device: its pte is a device-private entry.
//  2. The device takes it back, and the page is unmapped wherever it is mapped. What pte_pfn() reads in the entry, which
//     is not present, is no pfn, and the struct page that it leads to does not exist.
//
// Running: npm run -s regression -- run private-page-without-a-struct-page

import type { RegressionCase } from '../../harness/regression_case.ts';
import * as U from '../hmm-tests/uapi.ts';
import { must, open_device, small_buffer, word } from '../regression_tools.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: fix bad subpage pointer in try_to_unmap_one',
  upstream: '(2019, reference/series.md, 23)',
  bug: [
    'A page is on the device: its pte is a device-private entry.',
    'The device takes it back, and the page is unmapped wherever it is mapped. What pte_pfn() reads in the entry, which is not present, is no pfn, and the struct page that it leads to does not exist.',
  ],
  without: ['no-private-subpage'],
  with: [],
  fails: { kind: 'oops', text: 'unable to handle page fault for address: ffffea' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* c.close(fd);
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page has lost its contents');
  },
};

export default regression;
