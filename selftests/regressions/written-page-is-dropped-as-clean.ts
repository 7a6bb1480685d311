// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/migrate_device.c: copy pte dirty bit to page
// Upstream: fd35ca3d12cc
//
// Bug:
//  1. A process gives a page away by MADV_FREE and then writes to it, which takes that back; only its pte knows.
//  2. The page migrates to the device and back. The collector takes the dirty pte away and tells the page nothing.
//  3. Reclaim finds a clean page that was given away, and drops it with what was written.
//
// Running: npm run -s regression -- run written-page-is-dropped-as-clean

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const MADV_FREE = 8;
const MADV_PAGEOUT = 21;
const WRITTEN = 7;

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/migrate_device.c: copy pte dirty bit to page',
  upstream: 'fd35ca3d12cc',
  bug: [
    'A process gives a page away by MADV_FREE and then writes to it, which takes that back; only its pte knows.',
    'The page migrates to the device and back. The collector takes the dirty pte away and tells the page nothing.',
    'Reclaim finds a clean page that was given away, and drops it with what was written.',
  ],
  without: ['no-fd35ca3d12cc'],
  with: [],
  fails: { kind: 'assertion', text: 'the page holds 0, it was written 7' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    x.check((yield* c.madvise(b.ptr, PAGE, MADV_FREE)) === 0, 'MADV_FREE failed');
    yield* c.store32(b.ptr, WRITTEN);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 1, 'migrating back');
    x.check((yield* c.madvise(b.ptr, PAGE, MADV_PAGEOUT)) === 0, 'MADV_PAGEOUT failed');
    const v = yield* c.load32(b.ptr);
    x.check(v === WRITTEN, `the page holds ${v}, it was written ${WRITTEN}`);
  },
};

export default regression;
