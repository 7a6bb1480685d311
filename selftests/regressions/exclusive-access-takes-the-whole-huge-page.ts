// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-access-takes-the-whole-huge-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES, PAGE } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'exclusive-range',
  patch: {
    subject: 'mm/rmap: implement make_device_exclusive() using folio_walk instead of rmap walk',
    where: 'seed 001, part of the rework of 2025',
  },
  bug: [
    'One device has page 100 of a huge page mapped; another wants exclusive access to page 5.',
    'Through rmap every mapping of the folio is taken down, not that of page 5 alone, and the notifiers are told so.',
    'The first device loses a page that nobody asked for, and each of the 512 pages faults at the next access.',
  ],
  with: [],
  fails: { kind: 'assertion', text: 'page 100 was taken from the device that had it mapped' },
  *run(c, x) {
    const fds = [yield* open_device(c, x, 0), yield* open_device(c, x, 1)];
    const b = yield* huge_buffer(c, x);
    // The pmd is split beforehand, which the first device may be told of.
    const first = yield* command(c, fds[1], U.HMM_DMIRROR_EXCLUSIVE, b, 1, 5);
    x.check(first === 0, `exclusive access ended with ${first}`);
    for (let i = 0; i < HUGE_PAGES; i++) yield* c.load32(b.ptr + i * PAGE);
    for (const again of [false, true]) {
      const read = yield* command(c, fds[0], U.HMM_DMIRROR_READ, b, 1, 100);
      x.check(read === 0, `reading ended with ${read}`);
      if (again) x.check(b.faults === 0, `page 100 was taken from the device that had it mapped: ${b.faults} fault`);
      const ret = yield* command(c, fds[1], U.HMM_DMIRROR_EXCLUSIVE, b, 1, 5);
      x.check(ret === 0, `exclusive access ended with ${ret}`);
    }
  },
};

export default regression;
