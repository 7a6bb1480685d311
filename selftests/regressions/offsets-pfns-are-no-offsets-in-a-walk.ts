// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-pfns-are-no-offsets-in-a-walk

import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { PAGE, RW, SHARED, small_buffer, word } from '../vocabulary/memory.ts';
import { OFFSET_EVICT, OFFSET_PUT, offsets, open_offsets } from '../vocabulary/offsets.ts';
import { pfn_at } from '../vocabulary/proc.ts';

const regression: RegressionCase = {
  state: 'offsets-no-pvmw-flag',
  bug: [
    'A page is mapped by a process and a child of it; another child has a page of its own at the address.',
    "The first page goes to a device, to the offset that equals the pfn of the child's own page.",
    "The device is evicted: the walk over the private page's mappings comes to the child, finds a present entry with its number and takes it for its own.",
  ],
  fails: { kind: 'oops', text: 'folio_get() of a folio without references' },
  params: null,
  *run(c, x) {
    const fd = yield* open_offsets(c, x);
    const b = yield* small_buffer(c, x, 1);
    // Words for the pfn of the child's page (0) and for when all is done (1).
    const step = (yield* hmm_buffer_alloc(c, PAGE, PAGE, RW, SHARED, -1)) as HmmBuffer;
    const wait = function* (p: Libc, at: number): Gen<number> {
      for (;;) {
        const v = yield* p.load32(step.ptr + 4 * at);
        if (v !== 0) return v;
        yield* p.nanosleep(1000);
      }
    };
    const child = yield* c.fork(function* (p) {
      yield* p.store32(b.ptr, 99);
      yield* p.store32(step.ptr, yield* pfn_at(p, x, b.ptr));
      yield* wait(p, 1);
      return (yield* p.load32(b.ptr)) === 99 ? 0 : 1;
    });
    // The walk ends where nothing maps the page any more, so another mapping has to come after the child's.
    const other = yield* c.fork(function* (p) {
      yield* wait(p, 1);
      return (yield* p.load32(b.ptr)) === word(0) ? 0 : 1;
    });
    yield* offsets(c, x, fd, OFFSET_PUT, b.ptr, yield* wait(c, 0));
    yield* offsets(c, x, fd, OFFSET_EVICT, 0, 0);
    yield* c.store32(step.ptr + 4, 1);
    x.check((yield* c.waitpid(child)).status === 0, 'the child that wrote 99 reads something else');
    x.check((yield* c.waitpid(other)).status === 0, 'the other child does not read what its parent wrote');
    x.check((yield* c.load32(b.ptr)) === word(0), 'the parent does not read what it wrote');
  },
};

export default regression;
