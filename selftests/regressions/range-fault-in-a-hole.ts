// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run range-fault-in-a-hole

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-hmm-hole-check',
  fails: { kind: 'oops', text: 'NULL pointer dereference' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* c.munmap(b.ptr, 2 * PAGE);
    const ret = yield* command(c, fd, U.HMM_DMIRROR_READ, b, 2);
    x.check(ret === -U.EFAULT, `reading a hole ended with ${ret}`);
  },
};

export default regression;
