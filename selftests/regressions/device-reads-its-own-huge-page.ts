// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib/test_hmm: read private pages through what backs them
// Upstream: recorded oopses in dmirror_do_read() and dmirror_do_write()
//
// Bug:
//  1. As with a single page: a huge page is in private memory, and a second mirror of the device reads the middle of
//     it.
//  2. Only the folio's first page names what backs it, so that the middle's has to be found from there.
//
// Running: npm run -s regression -- run device-reads-its-own-huge-page

import type { RegressionCase } from '../../harness/regression_case.ts';
import * as U from '../hmm-tests/uapi.ts';
import { HUGE_PAGES, huge_buffer, mirrored, must, open_device, word } from '../regression_tools.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib/test_hmm: read private pages through what backs them',
  upstream: 'recorded oopses in dmirror_do_read() and dmirror_do_write()',
  bug: [
    'As with a single page: a huge page is in private memory, and a second mirror of the device reads the middle of it.',
    'Only the folio\'s first page names what backs it, so that the middle\'s has to be found from there.',
  ],
  without: [],
  with: ['fix-dmirror-backing-page'],
  fails: { kind: 'oops', text: 'page fault' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const second = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* must(c, x, second, U.HMM_DMIRROR_READ, b, HUGE_PAGES, 'reading by the same device');
    for (const i of [0, 300, 511]) x.check((yield* mirrored(c, b, i)) === word(i), `the device read something else from page ${i}`);
  },
};

export default regression;
