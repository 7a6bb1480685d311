// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run foreign-owner-leaves-the-entry

import type { RegressionCase } from '../../harness/regression/case.ts';
import { SELECT_DEVICE_PRIVATE, SELECT_SYSTEM, selected } from '../vocabulary/drivers.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-800bb1c8dc80',
  bug: [
    'Device 1 has a page; a migration asks for the private pages of device 0, or of nobody.',
    'migrate_vma selects the page all the same: its entry becomes a migration entry, and it goes wherever the caller sends it.',
  ],
  fails: { kind: 'assertion', text: 'flags 2 with owner 0 selects ss, not --' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 1);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to device 1');
    for (const [flags, owner, want] of [
      [SELECT_DEVICE_PRIVATE, 0, '--'],
      [SELECT_DEVICE_PRIVATE, null, '--'],
      [SELECT_DEVICE_PRIVATE | SELECT_SYSTEM, 0, '--'],
      [SELECT_DEVICE_PRIVATE, 1, 'ss'],
    ] as const) {
      const found = yield* selected(c, x, b, 2, flags, owner);
      x.check(found === want, `flags ${flags} with owner ${owner ?? 'NULL'} selects ${found}, not ${want}`);
    }
    const bytes = yield* snapshot(c, fd, b, 2);
    const local = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE;
    x.check(typeof bytes !== 'number' && bytes.every((v) => v === local), `device 1 finds ${String(bytes)} afterwards`);
    yield* expect_kept(c, x, b);
  },
};

export default regression;
