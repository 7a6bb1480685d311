// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run large-folio-freed-before-its-split

import type { RegressionCase } from '../../harness/regression/case.ts';
import { HUGE, huge_buffer, PAGE } from '../vocabulary/memory.ts';
import { new_command, open_device } from '../vocabulary/mirror.ts';
import { dropping, migrating } from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

const regression: RegressionCase = {
  state: 'no-pin-before-split',
  fails: { kind: 'oops', text: 'folio_get() of a folio without references' },
  schedule: 'hmm1:1:6.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* c.madvise(b.ptr + PAGE, HUGE - PAGE, U.MADV_DONTNEED);
    const cmd = yield* new_command(c, b.ptr, 1);
    yield* x.together([migrating(x, fd, cmd), dropping(x, b.ptr, 1)]);
    x.check((yield* c.load32(b.ptr)) === 0, 'the page still holds what madvise() threw away');
  },
};

export default regression;
