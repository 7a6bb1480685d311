// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run type-of-device-memory

import type { RegressionCase } from '../../harness/regression/case.ts';
import { zone_device_type } from '../vocabulary/coherent_v3.ts';
import { coherent_config, coherent_params, open_device } from '../vocabulary/mirror.ts';

const regression: RegressionCase = {
  state: 'coherent-v3',
  patch: {
    subject: 'lib: test_hmm add ioctl to get zone device type',
    where: '20220110223201.31024-7-alex.sierra@amd.com',
  },
  bug: [
    'A program wants to know which type of memory a mirror has.',
    'There is no such ioctl: the merged series left it out, and tests go by the number of the device.',
  ],
  without: [],
  with: ['coherent-v3'],
  fails: { kind: 'assertion', text: 'device 0 answers type -22' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    for (let n = 0; n < 4; n++) {
      const fd = yield* open_device(c, x, n);
      const type = yield* zone_device_type(c, fd);
      x.check(type === (n < 2 ? 1 : 2), `device ${n} answers type ${type}`);
    }
  },
};

export default regression;
