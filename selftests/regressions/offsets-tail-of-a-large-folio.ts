// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: page_mapped_in_vma()
// Upstream: 20260107091823.68974-1; a reading of the patch that no reviewer is known to share
//
// Bug:
//  1. A huge page of system memory is mapped by ptes, as after a change of the protection of a part of it.
//  2. page_mapped_in_vma(), which asks where one page is mapped, is handed a page that is not the folio's first.
//  3. It walks the page's address for the number of the folio instead of the page's, and finds that the page is not
//     mapped.
//
// Running: npm run -s regression -- run offsets-tail-of-a-large-folio

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, PAGE } from '../vocabulary/memory.ts';
import { OFFSET_FIND, OFFSETS, offsets, open_offsets } from '../vocabulary/offsets.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: page_mapped_in_vma()',
  upstream: '20260107091823.68974-1; a reading of the patch that no reviewer is known to share',
  bug: [
    'A huge page of system memory is mapped by ptes, as after a change of the protection of a part of it.',
    "page_mapped_in_vma(), which asks where one page is mapped, is handed a page that is not the folio's first.",
    "It walks the page's address for the number of the folio instead of the page's, and finds that the page is not mapped.",
  ],
  without: [...OFFSETS, 'offsets-tail-of-large'],
  with: OFFSETS,
  fails: { kind: 'assertion', text: 'nowhere' },
  params: null,
  *run(c, x) {
    const fd = yield* open_offsets(c, x);
    const b = yield* huge_buffer(c, x);
    yield* c.mprotect(b.ptr, 16 * PAGE, U.PROT_READ);
    for (const i of [0, 5, 511]) {
      const at = yield* offsets(c, x, fd, OFFSET_FIND, b.ptr + i * PAGE, 0);
      x.check(
        at === b.ptr + i * PAGE,
        `page ${i} is mapped at ${hex(b.ptr + i * PAGE)}, page_mapped_in_vma() says ${at === 0 ? 'nowhere' : hex(at)}`,
      );
    }
  },
};

export default regression;
