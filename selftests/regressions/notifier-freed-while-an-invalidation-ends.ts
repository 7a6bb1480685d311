// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run notifier-freed-while-an-invalidation-ends

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { dmirror, new_command, open_device } from '../vocabulary/mirror.ts';
import { dropping, thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-319561669a59',
  fails: { kind: 'oops', text: 'use-after-free of a mmu_interval_notifier in mn_itree_inv_end' },
  schedule: 'hmm1:1:5.1>2,8.2>1,12.1>2,18.2>1',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    const cmd = yield* new_command(c, b.ptr, 2);
    yield* x.together([
      // A snapshot subscribes to the range with a notifier on its stack.
      thread('snapshot', function* (t) {
        const ret = yield* dmirror(t, fd, U.HMM_DMIRROR_SNAPSHOT, cmd);
        x.check(ret === 0, `the snapshot ended with ${ret}`);
      }),
      dropping(x, b.ptr, 1),
    ]);
  },
};

export default regression;
