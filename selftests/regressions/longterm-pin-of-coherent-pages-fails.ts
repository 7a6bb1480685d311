// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run longterm-pin-of-coherent-pages-fails

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { must_either, snapshot_of_either } from '../vocabulary/coherent_v3.ts';
import { pin_longterm, PIN_WRITE, unpin_longterm } from '../vocabulary/drivers.ts';
import { expect_kept, hex } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

/** Pins npages for long, of which two are on the coherent device: all are in system memory then. */
export function* pin_coherent(c: Libc, x: CaseContext, npages: number, flags: number): Gen<void> {
  const fd = yield* open_device(c, x, 2);
  const gup = yield* c.open('/sys/kernel/debug/gup_test', U.O_RDWR);
  const b = yield* small_buffer(c, x, npages);
  yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
  const ret = yield* pin_longterm(c, gup, b, npages, flags);
  x.check(ret === 0, `pinning two pages on the device and ${npages - 2} others ended with ${ret}`);
  const bytes = yield* snapshot_of_either(c, x, fd, b, npages);
  yield* unpin_longterm(c, gup);
  x.check(
    bytes.every((v) => v === U.HMM_DMIRROR_PROT_WRITE),
    `the pages that are pinned for long are ${bytes.map(hex).join()} in the snapshot`,
  );
  yield* expect_kept(c, x, b);
}

const regression: RegressionCase = {
  state: 'coherent-v3',
  patch: { subject: 'mm/gup: migrate device coherent pages when pinning instead of failing', where: 'b05a79d4377f' },
  bug: [
    'Coherent device pages are pinned for long, which would keep the device from ever moving them.',
    'Rather than moving them to system memory first, pinning fails with -EFAULT, as if nothing were mapped there.',
  ],
  fails: { kind: 'assertion', text: 'ended with -14' },
  config: coherent_config,
  params: coherent_params,
  run: (c, x) => pin_coherent(c, x, 4, PIN_WRITE),
};

export default regression;
