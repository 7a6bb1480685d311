// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm: free device private pages have zero refcount
// Upstream: ef233450898f
//
// Bug:
//  1. Device pages that are free have a reference count of 1: whoever looks for pages in use finds them all.
//  2. The device evicts its memory. migrate_device_range() gets, locks and "unmaps" free pages, and the driver copies what
//     it takes for the memory behind them: the links of its free list.
//
// Running: npm run -s regression -- run free-device-page-can-be-taken

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../harness/kselftest/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

/** A device is closed that has a page; the page comes back with its contents. */
export function* close_device_of_a_page(c: Libc, x: CaseContext): Gen<void> {
  const fd = yield* open_device(c, x, 0);
  const b = yield* small_buffer(c, x, 1);
  yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
  yield* c.close(fd);
  yield* expect_kept(c, x, b);
}

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm: free device private pages have zero refcount',
  upstream: 'ef233450898f',
  bug: [
    'Device pages that are free have a reference count of 1: whoever looks for pages in use finds them all.',
    'The device evicts its memory. migrate_device_range() gets, locks and "unmaps" free pages, and the driver copies what it takes for the memory behind them: the links of its free list.',
  ],
  without: ['no-ef233450898f'],
  with: [],
  fails: { kind: 'oops', text: 'dmirror_device_evict_chunk' },
  run: close_device_of_a_page,
};

export default regression;
