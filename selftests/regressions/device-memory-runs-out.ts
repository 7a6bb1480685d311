// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: lib/test_hmm: check every page that takes the place of a huge one
// Upstream: recorded oopses of migrate_anon_huge_err
//
// Bug:
//  1. A coherent device is full. A huge page is to migrate there and there is no huge device page, so 512 single ones
//     are asked for.
//  2. The first cannot be had either; dmirror_devmem_alloc_page() answers NULL.
//  3. Nobody looks, and the driver takes the page behind page NULL.
//
// Running: npm run -s regression -- run device-memory-runs-out

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hmm_buffer_alloc, type HmmBuffer } from '../hmm-tests/buffer.ts';
import { ANON, HUGE, HUGE_PAGES, PAGE, RW, word } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, command, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'lib/test_hmm: check every page that takes the place of a huge one',
  upstream: 'recorded oopses of migrate_anon_huge_err',
  bug: [
    'A coherent device is full. A huge page is to migrate there and there is no huge device page, so 512 single ones are asked for.',
    'The first cannot be had either; dmirror_devmem_alloc_page() answers NULL.',
    'Nobody looks, and the driver takes the page behind page NULL.',
  ],
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
