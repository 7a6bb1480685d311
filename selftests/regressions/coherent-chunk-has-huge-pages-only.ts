// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib/test_hmm: one chunk a coherent device
// Upstream: recorded warnings in memremap_pages()
//
// Bug:
//  1. The memory of a coherent device is released, and the first to ask for some again wants a huge page: the new
//     chunk consists of huge pages.
//  2. A single page is to migrate there; none is free, and a second chunk conflicts with the first.
//  3. The page does not move, and the device has nothing to read, though the chunk is all but empty.
//
// Running: npm run -s regression -- run coherent-chunk-has-huge-pages-only

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES, small_buffer, word } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib/test_hmm: one chunk a coherent device',
  upstream: 'recorded warnings in memremap_pages()',
  bug: [
    'The memory of a coherent device is released, and the first to ask for some again wants a huge page: the new chunk consists of huge pages.',
    'A single page is to migrate there; none is free, and a second chunk conflicts with the first.',
    'The page does not move, and the device has nothing to read, though the chunk is all but empty.',
  ],
  without: [],
  with: ['fix-coherent-chunk'],
  fails: { kind: 'assertion', text: 'ended with -2' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* huge_buffer(c, x);
    const one = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_RELEASE, one, 1, 'releasing the memory');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating a huge page');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, one, 1, 'migrating a single page');
    x.check((yield* mirrored(c, one, 0)) === word(0), 'the device read something else');
  },
};

export default regression;
