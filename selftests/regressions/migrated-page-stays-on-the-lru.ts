// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run migrated-page-stays-on-the-lru

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const NPAGES = 4;

function* free_pages(c: Libc, x: CaseContext): Gen<number> {
  const found = /^MemFree: *(\d+) kB$/m.exec((yield* c.read_file('/proc/meminfo')) ?? '');
  x.check(found !== null, '/proc/meminfo does not say how much memory is free');
  return Number(found?.[1]) / 4;
}

const regression: RegressionCase = {
  state: 'no-41cddf83d8b0',
  fails: { kind: 'assertion', text: '4 pages less are free' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, NPAGES);
    for (let i = 0; i < NPAGES; i++) yield* c.store32(b.mirror + i * PAGE, 0);
    yield* must(c, x, fd, U.HMM_DMIRROR_READ, b, NPAGES, 'reading');
    yield* free_pages(c, x);
    const before = yield* free_pages(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, NPAGES, 'migrating to the device');
    // The device keeps the contents in as many pages of system memory as were left behind.
    const after = yield* free_pages(c, x);
    x.check(after === before, `${before - after} pages less are free`);
  },
};

export default regression;
