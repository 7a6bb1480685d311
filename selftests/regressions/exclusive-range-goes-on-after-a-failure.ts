// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-range-goes-on-after-a-failure

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, RW, small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'exclusive-range',
  patch: {
    subject: 'mm/rmap: convert make_device_exclusive_range() to make_device_exclusive()',
    where: 'seed 001, part of the rework of 2025',
  },
  bug: [
    'A device wants exclusive access to two pages; the first is of shared memory, which is not supported.',
    'The range is taken as far as it goes, with a hole for the first page.',
    "The request fails, but the second page has become the device's alone: the caller has no way to know which of them did.",
  ],
  with: [],
  fails: { kind: 'assertion', text: 'page 1 is exclusive all the same' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    const shared = yield* c.mmap(b.ptr, PAGE, RW, U.MAP_SHARED | U.MAP_ANONYMOUS | U.MAP_FIXED, -1, 0);
    x.check(shared === b.ptr, 'no shared memory');
    const ret = yield* command(c, fd, U.HMM_DMIRROR_EXCLUSIVE, b, 2);
    x.check(ret < 0, `exclusive access to shared memory ended with ${ret}`);
    const check = yield* command(c, fd, U.HMM_DMIRROR_CHECK_EXCLUSIVE, b, 1, 1);
    x.check(check === 0, `exclusive access ended with ${ret}, and page 1 is exclusive all the same`);
  },
};

export default regression;
