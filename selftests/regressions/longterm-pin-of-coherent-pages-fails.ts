// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/gup: migrate device coherent pages when pinning instead of failing
// Upstream: b05a79d4377f
//
// Bug:
//  1. Coherent device pages are pinned for long, which would keep the device from ever moving them.
//  2. Rather than moving them to system memory first, pinning fails with -EFAULT, as if nothing were mapped there.
//
// Running: npm run -s regression -- run longterm-pin-of-coherent-pages-fails

import type { RegressionCase } from '../../harness/regression_case.ts';
import * as U from '../hmm-tests/uapi.ts';
import { PIN_WRITE, coherent_config, coherent_params, hex, must_either, open_device, pin_longterm, small_buffer, snapshot_of_either, unpin_longterm, word } from '../regression_tools.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/gup: migrate device coherent pages when pinning instead of failing',
  upstream: 'b05a79d4377f',
  bug: [
    'Coherent device pages are pinned for long, which would keep the device from ever moving them.',
    'Rather than moving them to system memory first, pinning fails with -EFAULT, as if nothing were mapped there.',
  ],
  without: ['coherent-v3'],
  with: [],
  fails: { kind: 'assertion', text: 'ended with -14' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const gup = yield* c.open('/sys/kernel/debug/gup_test', U.O_RDWR);
    const b = yield* small_buffer(c, x, 4);
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    const ret = yield* pin_longterm(c, gup, b, 4, PIN_WRITE);
    x.check(ret === 0, `pinning two pages on the device and two others ended with ${ret}`);
    const bytes = yield* snapshot_of_either(c, x, fd, b, 4);
    yield* unpin_longterm(c, gup);
    x.check(bytes.every((v) => v === U.HMM_DMIRROR_PROT_WRITE), `the pages are ${bytes.map(hex).join()} in the snapshot`);
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page has lost its contents');
  },
};

export default regression;
