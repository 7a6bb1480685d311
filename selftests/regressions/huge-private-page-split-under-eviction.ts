// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run huge-private-page-split-under-eviction

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { closing, dropping } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-f84ca9b1888d',
  bug: [
    'The device takes its huge page back; page_vma_mapped_walk() has seen the device-private pmd and wants its lock.',
    'Meanwhile another thread splits the pmd: a table of ptes is in its place.',
    'The walk, with the lock, does not look again and hands the table out as the pmd that maps the page.',
  ],
  fails: { kind: 'oops', text: 'set_pmd_migration_entry' },
  schedule: 'hmm1:1:8.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* x.together([closing(x, fd), dropping(x, b.ptr, 1)]);
    yield* expect_kept(c, x, b, [1, 511]);
  },
};

export default regression;
