// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run write-fault-without-vm-write

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-hmm-write-check',
  fails: { kind: 'livelock', text: 'no end after' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1, U.PROT_READ);
    let ret = 1;
    yield* x.together([
      thread('write by the device', function* (t) {
        ret = yield* command(t, fd, U.HMM_DMIRROR_WRITE, b, 1);
      }),
    ]);
    x.check(ret === -U.EPERM, `writing to a read-only mapping ended with ${ret}`);
  },
};

export default regression;
