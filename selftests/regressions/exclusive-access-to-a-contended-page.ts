// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-access-to-a-contended-page

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

/** Two devices take one page for exclusive access at the same time, and neither is refused. */
export function* two_devices_take_a_page(c: Libc, x: CaseContext): Gen<void> {
  const fds = [yield* open_device(c, x, 0), yield* open_device(c, x, 1)];
  const b = yield* small_buffer(c, x, 1);
  const ret = [1, 1];
  yield* x.together(
    [0, 1].map((n) =>
      thread(`device ${n}`, function* (t) {
        ret[n] = yield* command(t, fds[n], U.HMM_DMIRROR_EXCLUSIVE, { ...b, mirror: yield* t.malloc(PAGE) }, 1);
      }),
    ),
  );
  // The copy that follows may find that the other device has taken the page meanwhile.
  for (const r of ret) x.check(r === 0 || r === -U.ENOENT, `exclusive access ended with ${r}`);
}

const regression: RegressionCase = {
  state: 'no-exclusive-ebusy-fix',
  fails: { kind: 'assertion', text: 'ended with -16' },
  schedule: 'hmm1:7:17.1>2',
  run: two_devices_take_a_page,
};

export default regression;
