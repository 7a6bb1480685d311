// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-tail-of-a-large-folio

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, PAGE } from '../vocabulary/memory.ts';
import { OFFSET_FIND, offsets, open_offsets } from '../vocabulary/offsets.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'offsets-tail-of-large',
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
