// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run device-of-a-module-that-failed-to-load

import type { RegressionCase } from '../../harness/regression/case.ts';
import { coherent_config, coherent_params } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

/** Beyond the 46 bits that a physical address may have. */
const NOWHERE = 2 ** 46;

const regression: RegressionCase = {
  state: 'no-dmirror-device-release',
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
