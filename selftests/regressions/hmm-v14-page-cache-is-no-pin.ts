// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-page-cache-is-no-pin

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_move, open_v14, V14_MOVE } from '../vocabulary/hmm_v14.ts';
import { PAGE, RW, word } from '../vocabulary/memory.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-cached-is-pinned',
  fails: { kind: 'assertion', text: '0 of 4 pages moved, not 4' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const ptr = yield* c.mmap(0, 4 * PAGE, RW, U.MAP_SHARED | U.MAP_ANONYMOUS, -1, 0);
    for (let i = 0; i < 4; i++) yield* c.store32(ptr + i * PAGE, word(i));
    yield* must_move(c, x, fd, V14_MOVE, ptr, 4, 4);
    for (let i = 0; i < 4; i++)
      x.check((yield* c.load32(ptr + i * PAGE)) === word(i), `page ${i} has lost its contents`);
  },
};

export default regression;
