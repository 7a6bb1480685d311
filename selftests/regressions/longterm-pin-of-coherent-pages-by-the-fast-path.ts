// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/gup: migrate device coherent pages when pinning instead of failing
// Upstream: b05a79d4377f
//
// Bug:
//  1. Coherent device pages are pinned for long by pin_user_pages_fast().
//  2. They are refused only behind the walk with locks; the one without finds a page in no movable zone and pins it.
//  3. The pin that was to fail is there, and the page cannot leave the device.
//
// Running: npm run -s regression -- run longterm-pin-of-coherent-pages-by-the-fast-path

import type { RegressionCase } from '../../harness/regression_case.ts';
import * as U from '../hmm-tests/uapi.ts';
import { PIN_FAST, PIN_WRITE, coherent_config, coherent_params, hex, must_either, open_device, pin_longterm, small_buffer, snapshot_of_either, unpin_longterm, word } from '../regression_tools.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/gup: migrate device coherent pages when pinning instead of failing',
  upstream: 'b05a79d4377f',
  bug: [
    'Coherent device pages are pinned for long by pin_user_pages_fast().',
    'They are refused only behind the walk with locks; the one without finds a page in no movable zone and pins it.',
    'The pin that was to fail is there, and the page cannot leave the device.',
  ],
  without: ['coherent-v3'],
  with: [],
  fails: { kind: 'assertion', text: 'pinned for long are 0x42,0x42' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const gup = yield* c.open('/sys/kernel/debug/gup_test', U.O_RDWR);
    const b = yield* small_buffer(c, x, 2);
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    const ret = yield* pin_longterm(c, gup, b, 2, PIN_WRITE | PIN_FAST);
    x.check(ret === 0, `pinning ended with ${ret}`);
    const bytes = yield* snapshot_of_either(c, x, fd, b, 2);
    yield* unpin_longterm(c, gup);
    x.check(bytes.every((v) => v === U.HMM_DMIRROR_PROT_WRITE), `the pages that are pinned for long are ${bytes.map(hex).join()} in the snapshot`);
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page has lost its contents');
  },
};

export default regression;
