// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. Of two pages the first is pinned between the first test for pins and the second. It stays in the arrays, as
//     nothing restores it, but npages counts one less.
//  2. The last loop takes one off for each page that it gives back, the pinned one included, and stops at 0.
//  3. The second page stays locked and unmapped.
//
// The last loop does restore the pinned page as long as another one migrates, so that the fix is shown with
// hmm-v14-pinned-not-restored.
//
// Running: npm run -s regression -- run hmm-v14-counted-twice

import type { Racer } from '../../harness/explore/engine.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { must_v14, open_v14, v14, V14_HOLD, V14_RELEASE, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { thread, touch } from '../vocabulary/racers.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'Of two pages the first is pinned between the first test for pins and the second. It stays in the arrays, as nothing restores it, but npages counts one less.',
    'The last loop takes one off for each page that it gives back, the pinned one included, and stops at 0.',
    'The second page stays locked and unmapped.',
  ],
  without: ['hmm-v14', 'hmm-v14-pinned-not-restored', 'hmm-v14-counts-twice'],
  with: ['hmm-v14', 'hmm-v14-pinned-not-restored'],
  fails: { kind: 'deadlock', text: 'waits for folio' },
  schedule: 'hmm1:1:23.1>2',
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 2);
    const racer = (name: string, request: number, npages: number): Racer =>
      thread(name, function* (t) {
        yield* v14(t, fd, request, b.ptr, npages);
      });
    yield* x.together([racer('migrate', V14_TO_DEVICE, 2), racer('hold', V14_HOLD, 1)]);
    yield* touch(x, [b.ptr, b.ptr + PAGE]);
    yield* expect_kept(c, x, b, [0, 1]);
    yield* must_v14(c, x, fd, V14_RELEASE, 0);
  },
};

export default regression;
