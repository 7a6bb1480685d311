// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run huge-page-split-under-another-pmd

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES, PAGE, word } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-split-other-pmds',
  without: ['fix-coherent-chunk'],
  with: ['fix-coherent-chunk', 'fix-split-other-pmds'],
  fails: { kind: 'oops', text: 'a pmd migration entry of a folio that is not huge' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const b = yield* huge_buffer(c, x);
    const pid = yield* c.fork(function* (child) {
      const fd = yield* open_device(child, x, 3);
      yield* must(child, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating to the device');
      for (const i of [0, 300, 511])
        x.check((yield* child.load32(b.ptr + i * PAGE)) === word(i), `page ${i} of the child has lost its contents`);
    });
    yield* c.waitpid(pid);
    yield* expect_kept(c, x, b, [0, 300, 511]);
  },
};

export default regression;
