// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib/test_hmm: read private pages through what backs them
// Upstream: recorded oopses in dmirror_do_read() and dmirror_do_write()
//
// Bug:
//  1. A page is in the device's private memory, and a second mirror of the same device, whose page table is empty,
//     reads it.
//  2. hmm_range_fault() answers the private page itself, as it does for the page's owner, and dmirror_do_fault()
//     enters it.
//  3. dmirror_do_read() copies from the private page's kernel address, and there is none.
//
// Running: npm run -s regression -- run device-reads-its-own-private-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib/test_hmm: read private pages through what backs them',
  upstream: 'recorded oopses in dmirror_do_read() and dmirror_do_write()',
  bug: [
    "A page is in the device's private memory, and a second mirror of the same device, whose page table is empty, reads it.",
    "hmm_range_fault() answers the private page itself, as it does for the page's owner, and dmirror_do_fault() enters it.",
    "dmirror_do_read() copies from the private page's kernel address, and there is none.",
  ],
  without: [],
  with: ['fix-dmirror-backing-page'],
  fails: { kind: 'oops', text: 'page fault' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const second = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    yield* must(c, x, second, U.HMM_DMIRROR_READ, b, 2, 'reading by the same device');
    x.check((yield* mirrored(c, b, 1)) === word(1), 'the device read something else');
    yield* c.store32(b.mirror, 77);
    yield* must(c, x, second, U.HMM_DMIRROR_WRITE, b, 1, 'writing by the same device');
    x.check((yield* c.load32(b.ptr)) === 77, 'what the device wrote is lost');
  },
};

export default regression;
