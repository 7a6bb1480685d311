// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run coherent-devices-share-a-range

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-coherent-devt',
  fails: { kind: 'assertion', text: 'loading test_hmm ended with' },
  config: coherent_config,
  params: null,
  *run(c, x) {
    const ret = yield* x.modprobe('test_hmm', coherent_params);
    x.check(ret === 0, `loading test_hmm ended with ${ret}`);
    const fds = [yield* open_device(c, x, 2), yield* open_device(c, x, 3)];
    for (const fd of fds) {
      const b = yield* small_buffer(c, x, 1);
      yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to a coherent device');
    }
  },
};

export default regression;
