// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-empty-places

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_move, must_v14, open_v14, V14_READ, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { ANON, PAGE, RW } from '../vocabulary/memory.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-skips-empty',
  fails: { kind: 'assertion', text: '1 of 4 pages moved, not 4' },
  config: { thp: 'never' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const ptr = yield* c.mmap(0, 8 * PAGE, RW, ANON, -1, 0);
    const mirror = ptr + 4 * PAGE;
    yield* c.store32(ptr + 2 * PAGE, 42);
    yield* must_move(c, x, fd, V14_TO_DEVICE, ptr, 4, 4);
    yield* must_v14(c, x, fd, V14_READ, ptr, 4, mirror);
    for (let i = 0; i < 4; i++) {
      x.check(
        (yield* c.load32(mirror + i * PAGE)) === (i === 2 ? 42 : 0),
        `the device reads something else of page ${i}`,
      );
      x.check((yield* c.load32(ptr + i * PAGE)) === (i === 2 ? 42 : 0), `the CPU reads something else of page ${i}`);
    }
  },
};

export default regression;
