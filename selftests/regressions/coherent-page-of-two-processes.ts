// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run coherent-page-of-two-processes

import type { RegressionCase } from '../../harness/regression/case.ts';
import { must_either, snapshot_of_either } from '../vocabulary/coherent_v3.ts';
import { fork_behind, open_gate, shut_gate } from '../vocabulary/events.ts';
import { expect_kept, hex } from '../vocabulary/expect.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'coherent-v3',
  bug: [
    'A process migrates pages to a coherent device and forks: each page is mapped twice.',
    'It brings them back. migrate_vma takes its own mapping down by itself, which hides the defect where a page is mapped once only; the other mapping is left to try_to_migrate().',
    'try_to_migrate() passes over every zone device page that is not private: the page stays mapped, and does not move.',
  ],
  fails: { kind: 'assertion', text: '0 of 2 pages that are mapped by two processes came back' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const once = yield* small_buffer(c, x, 2);
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, once, 2, 'migrating to the device');
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, once, 2, 'migrating back');
    x.check(once.cpages === 2, `${once.cpages} of 2 pages that are mapped once came back`);

    const b = yield* small_buffer(c, x, 2);
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    const gate = yield* shut_gate(c, x);
    yield* fork_behind(c, x, gate, function* (child) {
      for (let i = 0; i < 2; i++)
        x.check((yield* child.load32(b.ptr + i * PAGE)) === word(i), `the child finds something else in page ${i}`);
    });
    yield* must_either(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_SYS, b, 2, 'migrating back');
    const came = b.cpages;
    const bytes = yield* snapshot_of_either(c, x, fd, b, 2);
    yield* open_gate(c, x, gate);
    x.check(came === 2, `${came} of 2 pages that are mapped by two processes came back`);
    x.check(
      bytes.every((v) => v === U.HMM_DMIRROR_PROT_READ),
      `the pages are ${bytes.map(hex).join()} in the snapshot`,
    );
    yield* expect_kept(c, x, b, [0, 1]);
  },
};

export default regression;
