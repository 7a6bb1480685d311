// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-shared-page-becomes-exclusive

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { PAGE, RW, SHARED, small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'offsets-v1-migration-read',
  fails: { kind: 'assertion', text: 'the child reads' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const evictor = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    const go = (yield* hmm_buffer_alloc(c, PAGE, PAGE, RW, SHARED, -1)) as HmmBuffer;
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    const child = yield* c.fork(function* (p) {
      while ((yield* p.load8(go.ptr)) === 0) yield* p.nanosleep(1000);
      return (yield* p.load32(b.ptr)) === word(0) ? 0 : 1;
    });
    yield* c.close(evictor);
    yield* c.store32(b.ptr, 99);
    yield* c.store8(go.ptr, 1);
    x.check((yield* c.waitpid(child)).status === 0, 'the child reads what its parent has written since fork()');
  },
};

export default regression;
