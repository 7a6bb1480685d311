// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib: test_hmm: evict device pages on file close to avoid use-after-free
// Upstream: Fixes b2ef9f5a5cb3
//
// Bug:
//  1. A page is in the device's private memory; what backs it names the mirror that put it there.
//  2. The mirror is closed and freed; the page stays.
//  3. The process touches the page, and migrate_to_ram() uses the mirror.
//
// Running: npm run -s regression -- run device-pages-outlive-their-mirror

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib: test_hmm: evict device pages on file close to avoid use-after-free',
  upstream: 'Fixes b2ef9f5a5cb3',
  bug: [
    "A page is in the device's private memory; what backs it names the mirror that put it there.",
    'The mirror is closed and freed; the page stays.',
    'The process touches the page, and migrate_to_ram() uses the mirror.',
  ],
  without: ['no-evict-on-close'],
  with: [],
  fails: { kind: 'oops', text: 'use-after-free' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    yield* c.close(fd);
    yield* expect_kept(c, x, b, [1]);
  },
};

export default regression;
