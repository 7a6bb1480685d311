// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. A page passes the test for pins; then, before it is unmapped, somebody takes a reference on it.
//  2. The second test finds that, and no page of the range is left to migrate.
//  3. The loop that should restore the page starts where the one before it ended: at the end of the range.
//  4. hmm_vma_migrate() answers 0. The page is locked for ever, and who touches it sleeps for ever.
//
// Running: npm run -s regression -- run hmm-v14-pinned-while-unmapped

import type { Racer } from '../../harness/explore/engine.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { must_v14, open_v14, v14, V14_HOLD, V14_RELEASE, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { thread, touch } from '../vocabulary/racers.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'A page passes the test for pins; then, before it is unmapped, somebody takes a reference on it.',
    'The second test finds that, and no page of the range is left to migrate.',
    'The loop that should restore the page starts where the one before it ended: at the end of the range.',
    'hmm_vma_migrate() answers 0. The page is locked for ever, and who touches it sleeps for ever.',
  ],
  without: ['hmm-v14', 'hmm-v14-pinned-not-restored'],
  with: ['hmm-v14'],
  fails: { kind: 'deadlock', text: 'waits for folio' },
  schedule: 'hmm1:1:22.1>2',
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 1);
    const racer = (name: string, request: number): Racer =>
      thread(name, function* (t) {
        yield* v14(t, fd, request, b.ptr);
      });
    yield* x.together([racer('migrate', V14_TO_DEVICE), racer('hold', V14_HOLD)]);
    yield* touch(x, [b.ptr]);
    yield* expect_kept(c, x, b);
    yield* must_v14(c, x, fd, V14_RELEASE, 0);
  },
};

export default regression;
