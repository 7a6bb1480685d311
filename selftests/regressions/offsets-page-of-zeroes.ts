// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-page-of-zeroes

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { hex } from '../vocabulary/expect.ts';
import { ANON, PAGE, RW, small_buffer, word } from '../vocabulary/memory.ts';
import { OFFSET_FLAGS, OFFSET_PUT, offsets, open_offsets } from '../vocabulary/offsets.ts';
import { pfn_at } from '../vocabulary/proc.ts';
import * as U from '../hmm-tests/uapi.ts';

// include/uapi/linux/kernel-page-flags.h
const KPF_MMAP = 1 << 11;
const KPF_ANON = 1 << 12;
const KPF_ZERO_PAGE = 1 << 24;

const regression: RegressionCase = {
  state: 'offsets-no-snapshot-flag',
  fails: { kind: 'assertion', text: 'counts as that' },
  params: null,
  *run(c, x) {
    const fd = yield* open_offsets(c, x);
    const b = yield* small_buffer(c, x, 1);
    const zeroes = (yield* hmm_buffer_alloc(c, PAGE, PAGE, RW, ANON, -1)) as HmmBuffer;
    yield* c.madvise(zeroes.ptr, PAGE, U.MADV_NOHUGEPAGE);
    yield* c.load32(zeroes.ptr);
    const zero_pfn = yield* pfn_at(c, x, zeroes.ptr);
    yield* offsets(c, x, fd, OFFSET_PUT, b.ptr, zero_pfn);
    const flags = yield* offsets(c, x, fd, OFFSET_FLAGS, 0, zero_pfn);
    x.check((flags & KPF_ANON) !== 0 && (flags & KPF_MMAP) !== 0, `the flags of the private page are ${hex(flags)}`);
    x.check(
      (flags & KPF_ZERO_PAGE) === 0,
      `the private page with the number of the page of zeroes counts as that: ${hex(flags)}`,
    );
    x.check((yield* c.load32(zeroes.ptr)) === 0, 'the page of zeroes is not zero');
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page came back changed');
  },
};

export default regression;
