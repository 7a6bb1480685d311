// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run huge-device-pages-stay-counted

import type { RegressionCase } from '../../harness/regression/case.ts';
import { HUGE, huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const NR_ANON = '/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/stats/nr_anon';

const regression: RegressionCase = {
  state: 'no-zone-device-nr-anon',
  fails: { kind: 'assertion', text: 'large anonymous folios: 0 before, 1 after' },
  *run(c, x) {
    const before = Number(yield* c.read_file(NR_ANON));
    const fd = yield* open_device(c, x, 0);
    const b = yield* huge_buffer(c, x);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
    yield* c.munmap(b.ptr, HUGE);
    const after = Number(yield* c.read_file(NR_ANON));
    x.check(after === before, `large anonymous folios: ${before} before, ${after} after`);
  },
};

export default regression;
