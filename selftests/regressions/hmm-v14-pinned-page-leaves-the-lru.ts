// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. A page is pinned while its range migrates: it is isolated, found to be pinned, and stays.
//  2. Its reference is dropped, but it is not put back on the LRU.
//  3. Nobody can isolate it any more: it can be neither migrated nor reclaimed when the pin is long gone.
//
// Running: npm run -s regression -- run hmm-v14-pinned-page-leaves-the-lru

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { must_move, must_v14, open_v14, V14_HOLD, V14_RELEASE, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { small_buffer } from '../vocabulary/memory.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'A page is pinned while its range migrates: it is isolated, found to be pinned, and stays.',
    'Its reference is dropped, but it is not put back on the LRU.',
    'Nobody can isolate it any more: it can be neither migrated nor reclaimed when the pin is long gone.',
  ],
  without: ['hmm-v14', 'hmm-v14-pinned-off-lru'],
  with: ['hmm-v14'],
  fails: { kind: 'assertion', text: '1 of 2 pages moved, not 2' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 2);
    yield* must_v14(c, x, fd, V14_HOLD, b.ptr);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 2, 1);
    yield* expect_kept(c, x, b, [1]);
    yield* must_v14(c, x, fd, V14_RELEASE, 0);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 2, 2);
    yield* expect_kept(c, x, b);
  },
};

export default regression;
