// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: fix ZONE_DEVICE anon page mapping reuse
// Upstream: 7ab0ad0e74f8
//
// Bug:
//  1. A device page is freed and keeps the anon_vma of its last user in page->mapping.
//  2. The device fills an empty place with it. The page has a mapping already and is not given that of its new user.
//  3. Whoever looks for the page's mappings looks in the wrong place: the device cannot take the page back.
//
// Running: npm run -s regression -- run device-page-keeps-its-mapping

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: fix ZONE_DEVICE anon page mapping reuse',
  upstream: '7ab0ad0e74f8',
  bug: [
    'A device page is freed and keeps the anon_vma of its last user in page->mapping.',
    'The device fills an empty place with it. The page has a mapping already and is not given that of its new user.',
    "Whoever looks for the page's mappings looks in the wrong place: the device cannot take the page back.",
  ],
  without: ['no-7ab0ad0e74f8'],
  with: [],
  fails: { kind: 'assertion', text: 'evicted, the page is mapped as 0x22' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating a page to the device');
    yield* c.madvise(b.ptr, PAGE, U.MADV_DONTNEED);

    const other = yield* small_buffer(c, x, 1);
    yield* c.madvise(other.ptr, PAGE, U.MADV_DONTNEED);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, other, 1, 'filling an empty place');
    yield* c.close(fd);
    const found = yield* snapshot(c, yield* open_device(c, x, 0), other, 1);
    const how = Array.isArray(found) ? found[0] : found;
    x.check(how === U.HMM_DMIRROR_PROT_WRITE, `evicted, the page is mapped as ${hex(how)}`);
  },
};

export default regression;
