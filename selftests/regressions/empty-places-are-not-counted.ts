// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/migrate_device: return number of migrating pages in args->cpages
// Upstream: 44af0b45d58d
//
// Bug:
//  1. A driver moves a range in which two pages were never touched; it does so only if the whole range can be moved.
//  2. migrate_vma_setup() counts in cpages what it unmapped, but not the empty places, which can be moved as well.
//  3. The driver takes the range for one that cannot be moved as a whole.
//
// Running: npm run -s regression -- run empty-places-are-not-counted

import type { RegressionCase } from '../../harness/regression/case.ts';
import { block_command, BLOCK_TO_DEVICE, open_block } from '../vocabulary/drivers.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import * as U from '../../harness/kselftest/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/migrate_device: return number of migrating pages in args->cpages',
  upstream: '44af0b45d58d',
  bug: [
    'A driver moves a range in which two pages were never touched; it does so only if the whole range can be moved.',
    'migrate_vma_setup() counts in cpages what it unmapped, but not the empty places, which can be moved as well.',
    'The driver takes the range for one that cannot be moved as a whole.',
  ],
  without: ['no-44af0b45d58d'],
  with: [],
  fails: { kind: 'assertion', text: 'the device took 2 of 4 pages: -16' },
  *run(c, x) {
    const fd = yield* open_block(c, x);
    const b = yield* small_buffer(c, x, 4);
    yield* c.madvise(b.ptr + PAGE, 2 * PAGE, U.MADV_DONTNEED);
    const { ret, cpages } = yield* block_command(c, fd, BLOCK_TO_DEVICE, b, 4);
    x.check(ret === 0, `the device took ${cpages} of 4 pages: ${ret}`);
    for (const [i, v] of [word(0), 0, 0, word(3)].entries())
      x.check((yield* c.load32(b.ptr + i * PAGE)) === v, `page ${i} has lost its contents`);
  },
};

export default regression;
