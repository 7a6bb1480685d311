// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm: handle multiple owners of device private pages in migrate_vma
// Upstream: 800bb1c8dc80
//
// Bug:
//  1. Two devices have pages of one range.
//  2. The first is told to bring its pages back to system memory.
//  3. migrate_vma does not look at whom a private page belongs to: the pages of the second are selected too, and the
//     driver of the first handles them as its own.
//
// Running: npm run -s regression -- run private-pages-of-another-device-migrate

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept, hex } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm: handle multiple owners of device private pages in migrate_vma',
  upstream: '800bb1c8dc80',
  bug: [
    'Two devices have pages of one range.',
    'The first is told to bring its pages back to system memory.',
    'migrate_vma does not look at whom a private page belongs to: the pages of the second are selected too, and the driver of the first handles them as its own.',
  ],
  without: ['no-800bb1c8dc80'],
  with: ['src-owner'],
  fails: { kind: 'assertion', text: 'device 1 finds 0x2,0x2,0x2,0x2, not 0x2,0x2,0x22,0x22' },
  *run(c, x) {
    const fds = [yield* open_device(c, x, 0), yield* open_device(c, x, 1)];
    const b = yield* small_buffer(c, x, 4);
    for (const n of [0, 1]) {
      const ret = yield* command(c, fds[n], U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 2 * n);
      x.check(ret === 0, `migrating to device ${n} ended with ${ret}`);
    }
    yield* must(c, x, fds[0], U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 4, 'migrating back from device 0');
    const bytes = yield* snapshot(c, fds[1], b, 4);
    const local = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE;
    const want = [U.HMM_DMIRROR_PROT_WRITE, U.HMM_DMIRROR_PROT_WRITE, local, local].map(hex).join();
    const found = (typeof bytes === 'number' ? [bytes] : bytes).map(hex).join();
    x.check(found === want, `device 1 finds ${found}, not ${want}`);
    yield* expect_kept(c, x, b, [0, 1, 2, 3]);
  },
};

export default regression;
