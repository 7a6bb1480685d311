// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run device-maps-a-freed-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { ANON, PAGE, RW, small_buffer } from '../vocabulary/memory.ts';
import { command, mirrored, must, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-read-retry',
  fails: { kind: 'assertion', text: 'the device reads' },
  schedule: 'hmm1:182:1.1>2,9.2>1,28.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    const other = (yield* hmm_buffer_alloc(c, PAGE, PAGE, RW, ANON, -1)) as HmmBuffer;
    yield* x.together([
      thread('read by the device', function* (t) {
        yield* command(t, fd, U.HMM_DMIRROR_READ, b, 1);
      }),
      thread('give the page up', function* (t) {
        yield* t.madvise(b.ptr, PAGE, U.MADV_DONTNEED);
        yield* t.store32(other.ptr, 7);
        yield* t.store32(b.ptr, 99);
      }),
    ]);
    yield* must(c, x, fd, U.HMM_DMIRROR_READ, b, 1, 'reading by the device');
    const seen = yield* mirrored(c, b, 0);
    x.check(seen === 99, `the process has written 99, the device reads ${seen}`);
  },
};

export default regression;
