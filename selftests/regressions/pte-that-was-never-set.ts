// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/migrate.c: fix potential indeterminate pte entry in migrate_vma_insert_page()
// Upstream: 34f5e9b9d199
//
// Bug:
//  1. A driver fills an empty place with device memory that is neither private nor coherent.
//  2. migrate_vma_insert_page() has no pte for such memory, and puts what its variable happens to hold in the page table.
//
// Running: npm run -s regression -- run pte-that-was-never-set

import type { RegressionCase } from '../../harness/regression/case.ts';
import { block_command, BLOCK_TO_GENERIC, open_block } from '../vocabulary/drivers.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import * as U from '../../harness/kselftest/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/migrate.c: fix potential indeterminate pte entry in migrate_vma_insert_page()',
  upstream: '34f5e9b9d199',
  bug: [
    'A driver fills an empty place with device memory that is neither private nor coherent.',
    'migrate_vma_insert_page() has no pte for such memory, and puts what its variable happens to hold in the page table.',
  ],
  without: ['no-34f5e9b9d199'],
  with: [],
  fails: { kind: 'oops', text: 'KMSAN: uninit-value in migrate_vma_insert_page' },
  *run(c, x) {
    const fd = yield* open_block(c, x);
    const b = yield* small_buffer(c, x, 1);
    yield* c.madvise(b.ptr, PAGE, U.MADV_DONTNEED);
    const { ret } = yield* block_command(c, fd, BLOCK_TO_GENERIC, b, 1);
    x.check(ret === -22, `the device's page was answered with ${ret}`);
    x.check((yield* c.load32(b.ptr)) === 0, 'the empty place holds something');
  },
};

export default regression;
