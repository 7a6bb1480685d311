// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. A driver offers the device a page of a shared mapping. Such memory cannot hold pages of files, so
//     hmm_migrate_struct_page() refuses.
//  2. The last loop gives the page to its destination all the same.
//  3. The migration entry stays, and who touches the page never gets it.
//
// Running: npm run -s regression -- run hmm-v14-page-of-a-file

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_v14, open_v14, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { PAGE, RW } from '../vocabulary/memory.ts';
import { touch } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'A driver offers the device a page of a shared mapping. Such memory cannot hold pages of files, so hmm_migrate_struct_page() refuses.',
    'The last loop gives the page to its destination all the same.',
    'The migration entry stays, and who touches the page never gets it.',
  ],
  without: ['hmm-v14', 'hmm-v14-remaps-what-failed'],
  with: ['hmm-v14'],
  fails: { kind: 'livelock', text: 'no end after' },
  budget: 3000,
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const ptr = yield* c.mmap(0, PAGE, RW, U.MAP_SHARED | U.MAP_ANONYMOUS, -1, 0);
    yield* c.store32(ptr, 42);
    const { offered, cpages } = yield* must_v14(c, x, fd, V14_TO_DEVICE, ptr);
    x.check(offered === 1 && cpages === 0, `${offered} pages were offered, ${cpages} moved`);
    yield* touch(x, [ptr]);
    x.check((yield* c.load32(ptr)) === 42, 'the page has lost its contents');
  },
};

export default regression;
