// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/rmap: avoid -EBUSY from make_device_exclusive()
// Upstream: seed 001, part of the rework of 2025
//
// Bug:
//  1. Two devices want exclusive access to one page at the same time.
//  2. The first has the lock of the folio while it takes the mappings down.
//  3. make_device_exclusive_range() for the second finds the lock taken, leaves a hole where the page would be, and the
//     request ends with -EBUSY.
//
// Running: npm run -s regression -- run exclusive-range-of-a-contended-page

import type { Libc } from '../../harness/libc.ts';
import type { RegressionCase } from '../../harness/regression_case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import * as U from '../hmm-tests/uapi.ts';
import { PAGE, command, open_device, small_buffer } from '../regression_tools.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/rmap: avoid -EBUSY from make_device_exclusive()',
  upstream: 'seed 001, part of the rework of 2025',
  bug: [
    'Two devices want exclusive access to one page at the same time.',
    'The first has the lock of the folio while it takes the mappings down.',
    'make_device_exclusive_range() for the second finds the lock taken, leaves a hole where the page would be, and the request ends with -EBUSY.',
  ],
  without: ['exclusive-range', 'no-exclusive-mapcount', 'no-exclusive-hugetlb-check'],
  with: [],
  fails: { kind: 'assertion', text: 'ended with -16' },
  schedule: 'hmm1:1:22.1>2',
  *run(c, x) {
    const fds = [yield* open_device(c, x, 0), yield* open_device(c, x, 1)];
    const b = yield* small_buffer(c, x, 1);
    const ret = [1, 1];
    yield* x.together([0, 1].map((n) => ({
      name: `device ${n}`,
      kind: 'thread',
      run: function* (t: Libc): Gen<void> {
        ret[n] = yield* command(t, fds[n] as number, U.HMM_DMIRROR_EXCLUSIVE, { ...b, mirror: yield* t.malloc(PAGE) }, 1);
      },
    })));
    // The copy that follows may find that the other device has taken the page meanwhile.
    for (const r of ret) x.check(r === 0 || r === -U.ENOENT, `exclusive access ended with ${r}`);
  },
};

export default regression;
