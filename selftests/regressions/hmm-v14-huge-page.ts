// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-huge-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_move, open_v14, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { huge_buffer, HUGE_PAGES, PAGE, word } from '../vocabulary/memory.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-skips-huge',
  fails: { kind: 'assertion', text: '0 of 512 pages moved, not 512' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* huge_buffer(c, x);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, HUGE_PAGES, HUGE_PAGES);
    for (let i = 0; i < HUGE_PAGES; i++)
      x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} has lost its contents`);
  },
};

export default regression;
