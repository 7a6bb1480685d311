// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run pte-that-was-never-set

import type { RegressionCase } from '../../harness/regression/case.ts';
import { block_command, BLOCK_TO_GENERIC, open_block } from '../vocabulary/drivers.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import * as U from '../../lib/user/uapi.ts';

const regression: RegressionCase = {
  state: 'no-34f5e9b9d199',
  fails: { kind: 'oops', text: 'KMSAN: uninit-value in migrate_vma_insert_page' },
  *run(c, x) {
    const fd = yield* open_block(c, x);
    const b = yield* small_buffer(c, x, 1);
    yield* c.madvise(b.ptr, PAGE, U.MADV_DONTNEED);
    const { ret } = yield* block_command(c, fd, BLOCK_TO_GENERIC, b, 1);
    x.check(ret === -22, `the device's page was answered with ${ret}`);
    x.check((yield* c.load32(b.ptr)) === 0, 'the empty place holds something');
  },
};

export default regression;
