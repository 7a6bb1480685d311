// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-in-migration-entries

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { pagemap } from '../vocabulary/proc.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'offsets-no-migration-types',
  fails: { kind: 'assertion', text: 'pagemap shows an entry' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 1, 'migrating back');
    const entry = yield* pagemap(c, b.ptr);
    x.check(
      entry !== null && 'pfn' in entry,
      `pagemap shows an entry ${JSON.stringify(entry)} where a page has been brought back`,
    );
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page came back changed');
  },
};

export default regression;
