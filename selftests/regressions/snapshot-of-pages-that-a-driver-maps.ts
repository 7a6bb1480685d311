// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run snapshot-of-pages-that-a-driver-maps

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-87c01d57fa23',
  fails: { kind: 'assertion', text: 'the page is 0xff in the snapshot' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    const ptr = yield* c.mmap(b.ptr, PAGE, U.PROT_READ, U.MAP_PRIVATE | U.MAP_FIXED, fd, 0);
    x.check(ptr === b.ptr, `the device cannot be mapped: ${U.strerror(c.errno)}`);
    const bytes = yield* snapshot(c, fd, b, 1);
    const byte = typeof bytes === 'number' ? bytes : bytes[0];
    x.check(byte === U.HMM_DMIRROR_PROT_READ, `the page is ${hex(byte)} in the snapshot`);
  },
};

export default regression;
