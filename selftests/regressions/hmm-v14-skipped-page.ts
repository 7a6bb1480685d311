// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-skipped-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { must_move, must_v14, open_v14, v14, V14_READ, V14_SKIP, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-skipped-looks-migrated',
  bug: [
    'In alloc_and_copy() a driver leaves the destination of a page 0, so that it stays.',
    'hmm_migrate_struct_page() passes over the entry, with HMM_PFN_MIGRATE left in it.',
    'finalize_and_map() is told that the page has migrated, and the device would map what it does not have.',
  ],
  fails: { kind: 'assertion', text: '3 of 3 pages moved, not 2' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 3);
    yield* must_v14(c, x, fd, V14_SKIP, b.ptr + PAGE);
    yield* must_move(c, x, fd, V14_TO_DEVICE, b.ptr, 3, 2);
    const ret = yield* v14(c, fd, V14_READ, b.ptr + PAGE, 1, b.mirror);
    x.check(ret === -2, `the device reads the page that stayed: ${JSON.stringify(ret)}`);
    yield* expect_kept(c, x, b, [0, 1, 2]);
  },
};

export default regression;
