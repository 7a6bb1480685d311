// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. Somebody else has taken a page off the LRU, and one more holds a reference on it.
//  2. hmm_migrate_lock_and_isolate() cannot isolate it, unlocks it and drops its reference.
//  3. It goes on with the test for pins, which fails, and unlocks and drops once more.
//
// Running: npm run -s regression -- run hmm-v14-isolation-fails

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import {
  must_move,
  must_v14,
  open_v14,
  V14_HOLD,
  V14_ISOLATE,
  V14_PUTBACK,
  V14_RELEASE,
  V14_TO_DEVICE,
} from '../vocabulary/hmm_v14.ts';
import { small_buffer } from '../vocabulary/memory.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'Somebody else has taken a page off the LRU, and one more holds a reference on it.',
    'hmm_migrate_lock_and_isolate() cannot isolate it, unlocks it and drops its reference.',
    'It goes on with the test for pins, which fails, and unlocks and drops once more.',
  ],
  without: ['hmm-v14', 'hmm-v14-isolation-falls-through'],
  with: ['hmm-v14'],
  fails: { kind: 'oops', text: 'folio_unlock() of a folio that is not locked' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 2);
    yield* must_v14(c, x, fd, V14_HOLD, b.ptr);
    yield* must_v14(c, x, fd, V14_ISOLATE, b.ptr);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 2, 1);
    yield* must_v14(c, x, fd, V14_PUTBACK, 0);
    yield* must_v14(c, x, fd, V14_RELEASE, 0);
    yield* expect_kept(c, x, b, [0, 1]);
  },
};

export default regression;
