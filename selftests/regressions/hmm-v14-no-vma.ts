// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-no-vma

import type { RegressionCase } from '../../harness/regression/case.ts';
import { open_v14, v14, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';

const regression: RegressionCase = {
  state: 'hmm-v14-vma-checked-late',
  fails: { kind: 'oops', text: 'NULL pointer dereference, address: 0000000000000020' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 2);
    yield* c.munmap(b.ptr, b.size);
    const ret = yield* v14(c, fd, V14_TO_DEVICE, b.ptr, 2);
    x.check(ret === -22, `migrating where nothing is mapped ended with ${JSON.stringify(ret)}`);
    const past = yield* v14(c, fd, V14_TO_DEVICE, b.mirror, (b.size / PAGE) * 1024);
    x.check(past === -22, `migrating past the end of a mapping ended with ${JSON.stringify(past)}`);
  },
};

export default regression;
