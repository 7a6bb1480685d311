// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run huge-private-page-of-a-child-unmapped

import type { RegressionCase } from '../../harness/regression/case.ts';
import { happen, new_event, wait_for } from '../vocabulary/events.ts';
import { hex } from '../vocabulary/expect.ts';
import { huge_buffer, HUGE_PAGES } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import { own_page_on_device } from './huge-private-page-of-a-child-replaced.ts';
import * as U from '../hmm-tests/uapi.ts';

const ON_DEVICE = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE | U.HMM_DMIRROR_PROT_PMD;

const regression: RegressionCase = {
  state: 'no-f84ca9b1888d',
  fails: { kind: 'assertion', text: "the child's page is mapped as 0x0" },
  *run(c, x) {
    const b = yield* huge_buffer(c, x);
    const migrated = yield* new_event(c, x);
    const go = yield* new_event(c, x);
    const done = yield* new_event(c, x);
    const owner = yield* c.fork(function* (child) {
      const fd = yield* own_page_on_device(child, x, b, 1);
      yield* happen(child, migrated);
      yield* wait_for(child, go);
      const found = yield* snapshot(child, fd, b, 1);
      x.check(
        Array.isArray(found) && found[0] === ON_DEVICE,
        `the child's page is mapped as ${hex(Array.isArray(found) ? found[0] : found)}`,
      );
    });
    const sharer = yield* c.fork(function* (child) {
      yield* wait_for(child, done);
    });
    yield* wait_for(c, migrated);
    const fd = yield* open_device(c, x, 0);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, HUGE_PAGES, 'migrating the shared page');
    yield* happen(c, go);
    yield* c.waitpid(owner);
    yield* happen(c, done);
    yield* c.waitpid(sharer);
  },
};

export default regression;
