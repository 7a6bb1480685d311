// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run private-page-in-the-mapping-of-a-file

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hmm_create_file } from '../hmm-tests/buffer.ts';
import { fill, PAGE, RW, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-zap-private-file',
  fails: { kind: 'warning', text: 'zap_nonpresent_ptes' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    const file = yield* hmm_create_file(c, PAGE);
    x.check(file >= 0, `no file: ${U.strerror(c.errno)}`);
    const ptr = yield* c.mmap(b.ptr, PAGE, RW, U.MAP_PRIVATE | U.MAP_FIXED, file, 0);
    x.check(ptr === b.ptr, `the file cannot be mapped: ${U.strerror(c.errno)}`);
    yield* fill(c, b.ptr, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    x.check((yield* c.munmap(b.ptr, PAGE)) === 0, 'munmap failed');
  },
};

export default regression;
