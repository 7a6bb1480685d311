// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run device-page-keeps-its-mapping

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-7ab0ad0e74f8',
  fails: { kind: 'assertion', text: 'evicted, the page is mapped as 0x22' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating a page to the device');
    yield* c.madvise(b.ptr, PAGE, U.MADV_DONTNEED);

    const other = yield* small_buffer(c, x, 1);
    yield* c.madvise(other.ptr, PAGE, U.MADV_DONTNEED);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, other, 1, 'filling an empty place');
    yield* c.close(fd);
    const found = yield* snapshot(c, yield* open_device(c, x, 0), other, 1);
    const how = Array.isArray(found) ? found[0] : found;
    x.check(how === U.HMM_DMIRROR_PROT_WRITE, `evicted, the page is mapped as ${hex(how)}`);
  },
};

export default regression;
