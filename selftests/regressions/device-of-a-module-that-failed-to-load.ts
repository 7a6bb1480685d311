// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib: test_hmm: implement a device release method
// Upstream: merged in 2026 (no commit id at hand)
//
// Bug:
//  1. test_hmm is loaded with an address at which there can be no memory for the second coherent device.
//  2. It has registered each device before it asked for the device's memory. Of the one that gets none nothing is undone,
//     for it has no release method that could do so.
//  3. The module is gone, and its device is still in /dev.
//
// Running: npm run -s regression -- run device-of-a-module-that-failed-to-load

import type { RegressionCase } from '../../harness/regression/case.ts';
import { coherent_config, coherent_params } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

/** Beyond the 46 bits that a physical address may have. */
const NOWHERE = 2 ** 46;

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib: test_hmm: implement a device release method',
  upstream: 'merged in 2026 (no commit id at hand)',
  bug: [
    'test_hmm is loaded with an address at which there can be no memory for the second coherent device.',
    "It has registered each device before it asked for the device's memory. Of the one that gets none nothing is undone, for it has no release method that could do so.",
    'The module is gone, and its device is still in /dev.',
  ],
  without: ['no-dmirror-device-release'],
  with: [],
  fails: { kind: 'assertion', text: 'left in /dev: hmm_dmirror3' },
  config: coherent_config,
  params: null,
  *run(c, x) {
    const ret = yield* x.modprobe('test_hmm', { ...coherent_params, spm_addr_dev0: NOWHERE });
    x.check(ret === -U.EINVAL, `loading the module ended with ${ret}`);
    const left = ((yield* c.scandir('/dev')) ?? [])
      .filter((e) => e.d_name.startsWith('hmm_dmirror'))
      .map((e) => e.d_name);
    x.check(left.length === 0, `left in /dev: ${left.join(', ')}`);
  },
};

export default regression;
