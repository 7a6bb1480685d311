// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-range-enters-the-pages-before

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { command, mirrored, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

/** what dmirror_exclusive() asked for at once */
const AT_ONCE = 64;

const regression: RegressionCase = {
  state: 'no-ed913b055a74',
  fails: { kind: 'assertion', text: 'ended with 0; the device got 100 where nothing is mapped' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2 * AT_ONCE);
    x.check((yield* c.munmap(b.ptr + AT_ONCE * PAGE, AT_ONCE * PAGE)) === 0, 'munmap failed');
    const ret = yield* command(c, fd, U.HMM_DMIRROR_EXCLUSIVE, b, 2 * AT_ONCE);
    const got = yield* mirrored(c, b, AT_ONCE);
    x.check(ret < 0, `exclusive access ended with ${ret}; the device got ${got} where nothing is mapped`);
  },
};

export default regression;
