// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run device-memory-runs-out

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { ANON, HUGE, HUGE_PAGES, PAGE, RW, word } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'fix-migrate-alloc-null',
  without: ['fix-coherent-chunk'],
  with: ['fix-coherent-chunk', 'fix-migrate-alloc-null'],
  fails: { kind: 'oops', text: 'NULL pointer dereference' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const pages = 129 * HUGE_PAGES;
    const b = (yield* hmm_buffer_alloc(c, pages * PAGE + HUGE, HUGE, RW, ANON, -1)) as HmmBuffer;
    b.ptr = Math.ceil(b.ptr / HUGE) * HUGE;
    yield* c.madvise(b.ptr, pages * PAGE, U.MADV_HUGEPAGE);
    for (let i = 0; i < pages; i += HUGE_PAGES) {
      yield* c.store32(b.ptr + i * PAGE, word(i));
      const ret = yield* command(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, i);
      const full = i === pages - HUGE_PAGES;
      x.check(ret === (full ? -U.ENOENT : 0), `migrating huge page ${i / HUGE_PAGES} ended with ${ret}`);
    }
    for (let i = 0; i < pages; i += HUGE_PAGES)
      x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} has lost its contents`);
  },
};

export default regression;
