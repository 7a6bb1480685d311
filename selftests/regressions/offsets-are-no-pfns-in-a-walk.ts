// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-are-no-pfns-in-a-walk

import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { PAGE, RW, SHARED, small_buffer, word } from '../vocabulary/memory.ts';
import { OFFSET_PUT, offsets, open_offsets } from '../vocabulary/offsets.ts';
import { pfn_at } from '../vocabulary/proc.ts';

const regression: RegressionCase = {
  state: 'offsets-no-pvmw-flag',
  fails: { kind: 'oops', text: 'negative mapcount' },
  params: null,
  *run(c, x) {
    const fd = yield* open_offsets(c, x);
    const b = yield* small_buffer(c, x, 1);
    const pfn = yield* pfn_at(c, x, b.ptr);
    // Bytes that say how far the others are: 0 the child's page is in the device, 1 the parent's page migrated.
    const step = (yield* hmm_buffer_alloc(c, PAGE, PAGE, RW, SHARED, -1)) as HmmBuffer;
    const wait = function* (p: Libc, at: number): Gen<void> {
      while ((yield* p.load8(step.ptr + at)) === 0) yield* p.nanosleep(1000);
    };
    const child = yield* c.fork(function* (p) {
      yield* p.store32(b.ptr, 99);
      yield* offsets(p, x, fd, OFFSET_PUT, b.ptr, pfn);
      yield* p.store8(step.ptr, 1);
      yield* wait(p, 1);
      return (yield* p.load32(b.ptr)) === 99 ? 0 : 1;
    });
    // The walk ends where nothing maps the page any more, so another mapping has to come after the child's.
    const other = yield* c.fork(function* (p) {
      yield* wait(p, 1);
      return (yield* p.load32(b.ptr)) === word(0) ? 0 : 1;
    });
    yield* wait(c, 0);
    yield* offsets(c, x, fd, OFFSET_PUT, b.ptr, 7);
    yield* c.store8(step.ptr + 1, 1);
    x.check((yield* c.waitpid(child)).status === 0, 'the child that wrote 99 reads something else');
    x.check((yield* c.waitpid(other)).status === 0, 'the other child does not read what its parent wrote');
    x.check((yield* c.load32(b.ptr)) === word(0), 'the parent does not read what it wrote');
  },
};

export default regression;
