// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: hmm_range_fault() infinite loop
// Upstream: merged (no commit id at hand)
//
// Bug:
//  1. A device asks for a page of a read-only mapping, to be written.
//  2. hmm_range_fault() calls handle_mm_fault() with FAULT_FLAG_WRITE; that gives the process a page of its own, but
//     no write permission.
//  3. The walk finds the page not writable and faults again, for ever and with the mmap_lock held.
//
// Running: npm run -s regression -- run write-fault-without-vm-write

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: hmm_range_fault() infinite loop',
  upstream: 'merged (no commit id at hand)',
  bug: [
    'A device asks for a page of a read-only mapping, to be written.',
    'hmm_range_fault() calls handle_mm_fault() with FAULT_FLAG_WRITE; that gives the process a page of its own, but no write permission.',
    'The walk finds the page not writable and faults again, for ever and with the mmap_lock held.',
  ],
  without: ['no-hmm-write-check'],
  with: [],
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
