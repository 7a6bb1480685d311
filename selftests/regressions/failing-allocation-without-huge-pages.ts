// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib/test_hmm: HMM_DMIRROR_FLAG_FAIL_ALLOC is about huge pages
// Upstream: recorded results of migrate_anon_huge_err and migrate_anon_huge_zero_err
//
// Bug:
//  1. There are no transparent huge pages, and the next allocation of the driver is to fail.
//  2. Migrating to the device, the first single page stays where it is for want of a device page.
//  3. The mirror has no page there, and the command ends with -ENOENT.
//
// Running: npm run -s regression -- run failing-allocation-without-huge-pages

import type { RegressionCase } from '../../harness/regression/case.ts';
import { huge_buffer, HUGE_PAGES, word } from '../vocabulary/memory.ts';
import { command, mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib/test_hmm: HMM_DMIRROR_FLAG_FAIL_ALLOC is about huge pages',
  upstream: 'recorded results of migrate_anon_huge_err and migrate_anon_huge_zero_err',
  bug: [
    'There are no transparent huge pages, and the next allocation of the driver is to fail.',
    'Migrating to the device, the first single page stays where it is for want of a device page.',
    'The mirror has no page there, and the command ends with -ENOENT.',
  ],
  without: [],
  with: ['fix-fail-alloc-huge'],
  fails: { kind: 'assertion', text: 'ended with -2' },
  config: { thp: 'never' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    const ret = yield* command(c, fd, U.HMM_DMIRROR_FLAGS, b, U.HMM_DMIRROR_FLAG_FAIL_ALLOC);
    x.check(ret === 0, `setting the flag ended with ${ret}`);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    for (const i of [0, 300, 511])
      x.check((yield* mirrored(c, b, i)) === word(i), `the device read something else from page ${i}`);
  },
};

export default regression;
