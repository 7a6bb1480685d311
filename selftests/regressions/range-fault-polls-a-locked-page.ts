// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run range-fault-polls-a-locked-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, must, open_device } from '../vocabulary/mirror.ts';
import { forked, thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-b570f37a2ce4',
  fails: { kind: 'livelock', text: 'no end after' },
  config: { cpus: 1 },
  schedule: 'hmm1:29:0.1>2,14.2>1,40.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const other = yield* open_device(c, x, 1);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to device 0');
    let ret = 1;
    yield* x.together([
      forked('bring the page back', function* (p) {
        const own = yield* open_device(p, x, 0);
        yield* command(p, own, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 1);
      }),
      thread('read it by device 1', function* (t) {
        ret = yield* command(t, other, U.HMM_DMIRROR_READ, b, 1);
      }),
    ]);
    x.check(ret === 0, `reading by device 1 ended with ${ret}`);
  },
};

export default regression;
