// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: hmm_range_fault() NULL pointer bug
// Upstream: merged (no commit id at hand)
//
// Bug:
//  1. A device asks for a range of addresses where nothing is mapped.
//  2. hmm_vma_walk_hole() is called without a vma and asks for a fault all the same.
//  3. The fault handler is given the vma NULL.
//
// Running: npm run -s regression -- run range-fault-in-a-hole

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: hmm_range_fault() NULL pointer bug',
  upstream: 'merged (no commit id at hand)',
  bug: [
    'A device asks for a range of addresses where nothing is mapped.',
    'hmm_vma_walk_hole() is called without a vma and asks for a fault all the same.',
    'The fault handler is given the vma NULL.',
  ],
  without: ['no-hmm-hole-check'],
  with: [],
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
