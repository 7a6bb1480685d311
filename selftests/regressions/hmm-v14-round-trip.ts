// SPDX-License-Identifier: GPL-2.0-only
//
// With it, pages go to the device, where the device reads them, and come back when the driver or a CPU wants them.
//
// Running: npm run -s regression -- run hmm-v14-round-trip

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_move, must_v14, open_v14, V14_READ, V14_TO_DEVICE, V14_TO_SYSTEM } from '../vocabulary/hmm_v14.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';

const regression: RegressionCase = {
  state: 'hmm-v14',
  without: [],
  with: ['hmm-v14'],
  fails: { kind: 'assertion', text: 'loading hmm_v14 ended with -2' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 4);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 4, 4);
    yield* must_v14(c, x, fd, V14_READ, b.ptr, 4, b.mirror);
    for (let i = 0; i < 4; i++)
      x.check((yield* c.load32(b.mirror + i * PAGE)) === word(i), `the device reads something else of page ${i}`);
    yield* must_move(c, x, fd, V14_TO_SYSTEM, b.ptr, 2, 2);
    yield* c.store32(b.ptr + 3 * PAGE, 7);
    x.check((yield* c.load32(b.ptr + 2 * PAGE)) === word(2), 'page 2 has lost its contents on the way back');
    x.check((yield* c.load32(b.ptr + PAGE)) === word(1), 'page 1 has lost its contents on the way back');
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 4, 4);
    x.check((yield* c.load32(b.ptr + 3 * PAGE)) === 7, 'what was written to page 3 is gone');
  },
};

export default regression;
