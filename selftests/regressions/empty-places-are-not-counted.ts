// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run empty-places-are-not-counted

import type { RegressionCase } from '../../harness/regression/case.ts';
import { block_command, BLOCK_TO_DEVICE, open_block } from '../vocabulary/drivers.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import * as U from '../../lib/user/uapi.ts';

const regression: RegressionCase = {
  state: 'no-44af0b45d58d',
  fails: { kind: 'assertion', text: 'the device took 2 of 4 pages: -16' },
  *run(c, x) {
    const fd = yield* open_block(c, x);
    const b = yield* small_buffer(c, x, 4);
    yield* c.madvise(b.ptr + PAGE, 2 * PAGE, U.MADV_DONTNEED);
    const { ret, cpages } = yield* block_command(c, fd, BLOCK_TO_DEVICE, b, 4);
    x.check(ret === 0, `the device took ${cpages} of 4 pages: ${ret}`);
    for (const [i, v] of [word(0), 0, 0, word(3)].entries())
      x.check((yield* c.load32(b.ptr + i * PAGE)) === v, `page ${i} has lost its contents`);
  },
};

export default regression;
