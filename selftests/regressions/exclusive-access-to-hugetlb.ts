// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-access-to-hugetlb

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { hmm_buffer_alloc } from '../hmm-tests/buffer.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { ANON, HUGE, RW, word } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const EOPNOTSUPP = 95;

/** A device asks for exclusive access to npages of a hugetlb page, which keeps its contents: the answer. */
export function* take_hugetlb(c: Libc, x: CaseContext, npages: number): Gen<number> {
  const fd = yield* open_device(c, x, 0);
  const b = yield* hmm_buffer_alloc(c, HUGE, HUGE, RW, ANON | U.MAP_HUGETLB, -1);
  x.check(b !== null, 'no hugetlb page to be had');
  if (b === null) return 0;
  yield* c.store32(b.ptr, word(0));
  let ret = 1;
  yield* x.together([
    thread('take the pages', function* (t) {
      ret = yield* command(t, fd, U.HMM_DMIRROR_EXCLUSIVE, b, npages);
    }),
  ]);
  yield* expect_kept(c, x, b);
  return ret;
}

const regression: RegressionCase = {
  state: 'no-exclusive-hugetlb-check',
  fails: { kind: 'livelock', text: 'no end after' },
  config: { nr_hugepages: 2 },
  *run(c, x) {
    const ret = yield* take_hugetlb(c, x, 1);
    x.check(ret === -EOPNOTSUPP, `exclusive access to a hugetlb page ended with ${ret}`);
  },
};

export default regression;
