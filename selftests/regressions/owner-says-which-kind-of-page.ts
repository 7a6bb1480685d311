// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run owner-says-which-kind-of-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { SELECT_DEVICE_PRIVATE, SELECT_SYSTEM, selected } from '../vocabulary/drivers.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'src-owner',
  patch: { subject: 'mm/migrate: add a flags parameter to migrate_vma', where: '5143192cd410' },
  bug: [
    "A range holds pages of the caller's own device, of another device and of the system.",
    'The caller sets src_owner to be told about its own pages; but then normal pages are not selected, nor the zero page.',
    'Without src_owner it gets the normal pages, but its own private ones are not selected: there is no way to ask for both at once.',
  ],
  fails: { kind: 'assertion', text: 'selects ss----, not ss--s0' },
  *run(c, x) {
    const fds = [yield* open_device(c, x, 0), yield* open_device(c, x, 1)];
    const b = yield* small_buffer(c, x, 6);
    // Pages 0 and 1 go to device 0, 2 and 3 to device 1, 4 stays and 5 is the zero page.
    for (const n of [0, 1]) {
      const ret = yield* command(c, fds[n], U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 2 * n);
      x.check(ret === 0, `migrating to device ${n} ended with ${ret}`);
    }
    yield* c.madvise(b.ptr + 5 * PAGE, PAGE, U.MADV_DONTNEED);
    yield* c.load32(b.ptr + 5 * PAGE);
    const want = 'ss--s0';
    const found = yield* selected(c, x, b, 6, SELECT_SYSTEM | SELECT_DEVICE_PRIVATE, 0);
    x.check(found === want, `a migration of system pages and of device 0's selects ${found}, not ${want}`);
  },
};

export default regression;
