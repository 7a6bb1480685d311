// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: migration entries
// Upstream: seed 000, patch 7 of 11
//
// Bug:
//  1. A private page migrates back: its entry becomes a migration entry that holds an offset and does not say so.
//  2. When the migration is over, the walk that looks for the entry passes it by, as it is not of a private page.
//  3. The entry stays for ever; the CPU that faults on it looks its offset up as a pfn, and finds nobody to wait for.
//
// Running: npm run -s regression -- run offsets-in-migration-entries

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { OFFSETS } from '../vocabulary/offsets.ts';
import { pagemap } from '../vocabulary/proc.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: migration entries',
  upstream: 'seed 000, patch 7 of 11',
  bug: [
    'A private page migrates back: its entry becomes a migration entry that holds an offset and does not say so.',
    'When the migration is over, the walk that looks for the entry passes it by, as it is not of a private page.',
    'The entry stays for ever; the CPU that faults on it looks its offset up as a pfn, and finds nobody to wait for.',
  ],
  without: [...OFFSETS, 'offsets-no-migration-types'],
  with: OFFSETS,
  fails: { kind: 'assertion', text: 'pagemap shows an entry' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 1, 'migrating back');
    const entry = yield* pagemap(c, b.ptr);
    x.check(
      entry !== null && 'pfn' in entry,
      `pagemap shows an entry ${JSON.stringify(entry)} where a page has been brought back`,
    );
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page came back changed');
  },
};

export default regression;
