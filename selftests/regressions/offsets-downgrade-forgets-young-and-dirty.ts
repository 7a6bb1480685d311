// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-downgrade-forgets-young-and-dirty

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import { smaps_kb } from '../vocabulary/proc.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'offsets-v1-young-dirty',
  fails: { kind: 'assertion', text: 'are referenced' },
  schedule: 'hmm1:2:10.1>2',
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const evictor = yield* open_device(c, x, 2);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* c.store32(b.ptr, 99);
    yield* x.together([
      thread('evict the device', function* (t) {
        yield* t.close(evictor);
      }),
      thread('take the right to write', function* (t) {
        yield* t.mprotect(b.ptr, PAGE, U.PROT_READ);
      }),
    ]);
    const referenced = yield* smaps_kb(c, b.ptr, 'Referenced');
    x.check(referenced === 4, `the process has used one page of 4 kB, smaps says that ${referenced} kB are referenced`);
    x.check((yield* c.load32(b.ptr)) === 99, 'the page came back changed');
  },
};

export default regression;
