// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: mpfns
// Upstream: seed 000, patch 4 of 11
//
// Bug:
//  1. A driver offers a private page as the destination of a migration, by an mpfn with its offset that does not say
//     that it is one.
//  2. migrate_vma_pages() looks the offset up as a pfn, and moves the page's state to some page of system memory or
//     none.
//
// Running: npm run -s regression -- run offsets-in-a-migration

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { OFFSETS } from '../vocabulary/offsets.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: mpfns',
  upstream: 'seed 000, patch 4 of 11',
  bug: [
    'A driver offers a private page as the destination of a migration, by an mpfn with its offset that does not say that it is one.',
    "migrate_vma_pages() looks the offset up as a pfn, and moves the page's state to some page of system memory or none.",
  ],
  without: [...OFFSETS, 'offsets-no-mpfn-flag'],
  with: OFFSETS,
  fails: { kind: 'oops', text: 'folio_get() of a folio without references' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    for (let i = 0; i < 2; i++) x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} came back changed`);
  },
};

export default regression;
