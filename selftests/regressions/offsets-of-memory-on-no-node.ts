// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-of-memory-on-no-node

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { OFFSET_PUT, offsets, open_offsets } from '../vocabulary/offsets.ts';

const regression: RegressionCase = {
  state: 'offsets-v2-nid',
  fails: { kind: 'oops', text: 'lruvec_stat_mod_folio' },
  params: null,
  *run(c, x) {
    const fd = yield* open_offsets(c, x, { nid: -1 });
    const b = yield* small_buffer(c, x, 1);
    yield* offsets(c, x, fd, OFFSET_PUT, b.ptr, 0);
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page came back changed');
  },
};

export default regression;
