// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run small-pages-in-a-former-huge-one

import type { RegressionCase } from '../../harness/regression/case.ts';
import { block_command, BLOCK_TO_DEVICE, BLOCK_TO_SYSTEM, open_block } from '../vocabulary/drivers.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES, PAGE, small_buffer, word } from '../vocabulary/memory.ts';

const regression: RegressionCase = {
  state: 'no-12b2285bf3d1',
  fails: { kind: 'oops', text: '__migrate_device_finalize' },
  *run(c, x) {
    const fd = yield* open_block(c, x);
    const huge = yield* huge_buffer(c, x);
    const there = yield* block_command(c, fd, BLOCK_TO_DEVICE, huge, HUGE_PAGES, 9);
    x.check(there.ret === 0, `moving the huge page ended with ${there.ret}`);
    const back = yield* block_command(c, fd, BLOCK_TO_SYSTEM, huge, HUGE_PAGES, 9);
    x.check(back.ret === 0, `moving the huge page back ended with ${back.ret}`);
    const b = yield* small_buffer(c, x, 2);
    const { ret } = yield* block_command(c, fd, BLOCK_TO_DEVICE, b, 2);
    x.check(ret === 0, `moving two pages ended with ${ret}`);
    yield* expect_kept(c, x, b, [0, 1]);
    for (const i of [0, 511])
      x.check((yield* c.load32(huge.ptr + i * PAGE)) === word(i), `page ${i} of the huge page has lost its contents`);
  },
};

export default regression;
