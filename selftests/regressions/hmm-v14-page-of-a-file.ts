// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-page-of-a-file

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_v14, open_v14, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { PAGE, RW } from '../vocabulary/memory.ts';
import { touch } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-remaps-what-failed',
  bug: [
    'A driver offers the device a page of a shared mapping. Such memory cannot hold pages of files, so hmm_migrate_struct_page() refuses.',
    'The last loop gives the page to its destination all the same.',
    'The migration entry stays, and who touches the page never gets it.',
  ],
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
