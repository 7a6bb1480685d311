// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. A huge page is mapped by a pmd, which hmm_collect_walk_pmd() splits.
//  2. The pages are still those of one compound page, and it passes over each of them.
//  3. Nothing migrates, and the huge mapping is gone.
//
// Running: npm run -s regression -- run hmm-v14-huge-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_move, open_v14, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { huge_buffer, HUGE_PAGES, PAGE, word } from '../vocabulary/memory.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'A huge page is mapped by a pmd, which hmm_collect_walk_pmd() splits.',
    'The pages are still those of one compound page, and it passes over each of them.',
    'Nothing migrates, and the huge mapping is gone.',
  ],
  without: ['hmm-v14', 'hmm-v14-skips-huge'],
  with: ['hmm-v14'],
  fails: { kind: 'assertion', text: '0 of 512 pages moved, not 512' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* huge_buffer(c, x);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, HUGE_PAGES, HUGE_PAGES);
    for (let i = 0; i < HUGE_PAGES; i++)
      x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} has lost its contents`);
  },
};

export default regression;
