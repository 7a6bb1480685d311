// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run eviction-of-coherent-pages

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_either, snapshot_of_either } from '../vocabulary/coherent_v3.ts';
import { expect_kept, hex } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'coherent-v3',
  bug: [
    'A coherent device is closed, and its memory evicted: pages are looked up by pfn, so that no mapping is taken down on the way to them.',
    'try_to_migrate() passes over every zone device page that is not private: even pages that are mapped once stay.',
  ],
  fails: { kind: 'assertion', text: 'the pages are 0x42,0x42 in the snapshot' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* small_buffer(c, x, 2);
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    yield* c.close(fd);
    const again = yield* open_device(c, x, 2);
    const bytes = yield* snapshot_of_either(c, x, again, b, 2);
    x.check(
      bytes.every((v) => v === U.HMM_DMIRROR_PROT_WRITE),
      `after the device was closed the pages are ${bytes.map(hex).join()} in the snapshot`,
    );
    yield* expect_kept(c, x, b);
  },
};

export default regression;
