// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm: Fix a hmm_range_fault() livelock / starvation problem
// Upstream: b570f37a2ce4
//
// Bug:
//  1. A private page of device 0 is mapped by a process and its child. The child brings it back: it locks the page and
//     takes down one mapping after the other.
//  2. Before that is done it lets another task run on its CPU: device 1 reads the page for the parent.
//  3. do_swap_page() does not get the lock and returns, and hmm_range_fault() comes again at once, with no point
//     between at which a kernel that is not preempted would let the child go on.
//
// Running: npm run -s regression -- run range-fault-polls-a-locked-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, must, open_device } from '../vocabulary/mirror.ts';
import { forked, thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm: Fix a hmm_range_fault() livelock / starvation problem',
  upstream: 'b570f37a2ce4',
  bug: [
    'A private page of device 0 is mapped by a process and its child. The child brings it back: it locks the page and takes down one mapping after the other.',
    'Before that is done it lets another task run on its CPU: device 1 reads the page for the parent.',
    'do_swap_page() does not get the lock and returns, and hmm_range_fault() comes again at once, with no point between at which a kernel that is not preempted would let the child go on.',
  ],
  without: ['no-b570f37a2ce4'],
  with: [],
  fails: { kind: 'livelock', text: 'no end after' },
  config: { cpus: 1 },
  schedule: 'hmm1:75:27.1>2',
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
