// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. A page of a shared mapping is to move to another page of system memory.
//  2. The page cache holds a reference on it, which hmm_migrate_page_check() takes for a pin.
//  3. No page of a file ever migrates.
//
// Running: npm run -s regression -- run hmm-v14-page-cache-is-no-pin

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_move, open_v14, V14_MOVE } from '../vocabulary/hmm_v14.ts';
import { PAGE, RW, word } from '../vocabulary/memory.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'A page of a shared mapping is to move to another page of system memory.',
    'The page cache holds a reference on it, which hmm_migrate_page_check() takes for a pin.',
    'No page of a file ever migrates.',
  ],
  without: ['hmm-v14', 'hmm-v14-cached-is-pinned'],
  with: ['hmm-v14'],
  fails: { kind: 'assertion', text: '0 of 4 pages moved, not 4' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const ptr = yield* c.mmap(0, 4 * PAGE, RW, U.MAP_SHARED | U.MAP_ANONYMOUS, -1, 0);
    for (let i = 0; i < 4; i++) yield* c.store32(ptr + i * PAGE, word(i));
    yield* must_move(c, x, fd, V14_MOVE, ptr, 4, 4);
    for (let i = 0; i < 4; i++)
      x.check((yield* c.load32(ptr + i * PAGE)) === word(i), `page ${i} has lost its contents`);
  },
};

export default regression;
