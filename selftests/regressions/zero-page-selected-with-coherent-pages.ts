// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run zero-page-selected-with-coherent-pages

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_either } from '../vocabulary/coherent_v3.ts';
import { SELECT_DEVICE_COHERENT, selected } from '../vocabulary/drivers.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'coherent-v3',
  patch: {
    subject: 'mm: add device coherent vma selection for memory migration',
    where: '20220110223201.31024-3-alex.sierra@amd.com',
  },
  bug: [
    'A migration asks for coherent pages only; the range has the zero page in it.',
    'Whether system pages are wanted is asked only behind the zero page, which is selected and counted as a page that migrates.',
  ],
  fails: { kind: 'assertion', text: 's0- is selected' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const b = yield* small_buffer(c, x, 3);
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* c.madvise(b.ptr + PAGE, PAGE, U.MADV_DONTNEED);
    yield* c.load32(b.ptr + PAGE);
    const found = yield* selected(c, x, b, 3, SELECT_DEVICE_COHERENT, 2);
    x.check(
      found === 's--',
      `a coherent page, the zero page and a page of system memory: ${found} is selected, not s--`,
    );
  },
};

export default regression;
