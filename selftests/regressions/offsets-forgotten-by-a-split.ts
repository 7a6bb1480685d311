// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-forgotten-by-a-split

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { huge_buffer, HUGE_PAGES, PAGE, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

/**
 * The CPU reads one page of a large folio that is on the device and mapped by ptes: the folio is split, and all of it
 * can be read.
 */
export function* read_page_of_large_folio(c: Libc, x: CaseContext): Gen<void> {
  const fd = yield* open_device(c, x, 0);
  const b = yield* huge_buffer(c, x);
  yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
  // Another protection for a part of it leaves ptes of one large folio.
  yield* c.mprotect(b.ptr, 16 * PAGE, U.PROT_READ);
  let seen = -1;
  yield* x.together([
    thread('read the page', function* (t) {
      seen = yield* t.load32(b.ptr + 5 * PAGE);
    }),
  ]);
  x.check(seen === word(5), `page 5 holds ${seen} instead of ${word(5)}`);
  for (let i = 0; i < HUGE_PAGES; i += 37)
    x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} came back changed`);
}

const regression: RegressionCase = {
  state: 'offsets-ttu-sync',
  fails: { kind: 'livelock', text: 'no end after' },
  budget: 2000,
  run: read_page_of_large_folio,
};

export default regression;
