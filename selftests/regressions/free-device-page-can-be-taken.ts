// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run free-device-page-can-be-taken

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

/** A device is closed that has a page; the page comes back with its contents. */
export function* close_device_of_a_page(c: Libc, x: CaseContext): Gen<void> {
  const fd = yield* open_device(c, x, 0);
  const b = yield* small_buffer(c, x, 1);
  yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
  yield* c.close(fd);
  yield* expect_kept(c, x, b);
}

const regression: RegressionCase = {
  state: 'no-ef233450898f',
  fails: { kind: 'oops', text: 'dmirror_device_evict_chunk' },
  run: close_device_of_a_page,
};

export default regression;
