// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-write-without-permission

import type { RegressionCase } from '../../harness/regression/case.ts';
import { open_v14, v14, V14_ACCESS_WRITE } from '../vocabulary/hmm_v14.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-faults-without-permission',
  fails: { kind: 'livelock', text: 'no end after' },
  budget: 3000,
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 1, U.PROT_READ);
    let ret: unknown = 0;
    yield* x.together([
      thread('write by the device', function* (t) {
        ret = yield* v14(t, fd, V14_ACCESS_WRITE, b.ptr, 1, b.mirror);
      }),
    ]);
    x.check(ret === -U.EPERM, `writing to a read-only mapping ended with ${JSON.stringify(ret)}`);
  },
};

export default regression;
