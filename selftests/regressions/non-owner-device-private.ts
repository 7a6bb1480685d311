// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/hmm: fault non-owner device private entries
// Upstream: 8a295dbbaf72
//
// Bug:
//  1. Device 0 holds a page in its private memory.
//  2. Device 1 mirrors the same process and reads the address: the pte is a private entry of another owner.
//  3. hmm_range_fault() takes it for something that cannot be faulted in and answers -EFAULT, although the CPU could
//     have brought it back.
//
// Running: npm run -s regression -- run non-owner-device-private

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/hmm: fault non-owner device private entries',
  upstream: '8a295dbbaf72',
  bug: [
    'Device 0 holds a page in its private memory.',
    'Device 1 mirrors the same process and reads the address: the pte is a private entry of another owner.',
    'hmm_range_fault() takes it for something that cannot be faulted in and answers -EFAULT, although the CPU could have brought it back.',
  ],
  without: ['no-8a295dbbaf72'],
  with: [],
  fails: { kind: 'assertion', text: 'ended with -14' },
  *run(c, x) {
    const one = yield* open_device(c, x, 0);
    const two = yield* open_device(c, x, 1);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, one, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to device 0');
    yield* must(c, x, two, U.HMM_DMIRROR_READ, b, 2, 'reading by device 1');
    x.check((yield* mirrored(c, b, 1)) === word(1), 'device 1 read something else');
  },
};

export default regression;
