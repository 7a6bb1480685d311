// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run range-migrated-again-while-half-is-on-the-device

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import { mirrored, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'src-owner',
  patch: { subject: 'mm/hmm/test: use the new migration invalidation', where: '7d17e83abec1' },
  bug: [
    'A range is on the device; the CPU brings half of it back, and the range is to migrate once more.',
    'The migration is told to the device as MMU_NOTIFY_CLEAR of the whole range: it drops the pages that it still holds, too.',
    'They are not selected, being on the device, so nothing enters them into its page table again: reading what was migrated ends with -ENOENT.',
  ],
  fails: { kind: 'assertion', text: 'migrating once more ended with -2' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 4);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 4, 'migrating to the device');
    for (let i = 0; i < 2; i++) yield* c.load32(b.ptr + i * PAGE);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 4, 'migrating once more');
    for (let i = 0; i < 4; i++)
      x.check((yield* mirrored(c, b, i)) === word(i), `the device reads something else in page ${i}`);
  },
};

export default regression;
