// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/migrate_device: unmap large folios by ptes elsewhere
// Upstream: recorded BUG at mm/migrate.c:368
//
// Bug:
//  1. A process and its child map a huge page, each by a pmd. The child migrates it to a coherent device: both pmds
//     become migration entries.
//  2. The device has no huge page, so the folio is split; of the pmds only that of the child is split with it.
//  3. remove_migration_pte() finds the parent's pmd, a migration entry for a folio that is a single page by now.
//
// Running: npm run -s regression -- run huge-page-split-under-another-pmd

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES, PAGE, word } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/migrate_device: unmap large folios by ptes elsewhere',
  upstream: 'recorded BUG at mm/migrate.c:368',
  bug: [
    'A process and its child map a huge page, each by a pmd. The child migrates it to a coherent device: both pmds become migration entries.',
    'The device has no huge page, so the folio is split; of the pmds only that of the child is split with it.',
    "remove_migration_pte() finds the parent's pmd, a migration entry for a folio that is a single page by now.",
  ],
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
