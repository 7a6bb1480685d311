// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run longterm-pin-of-coherent-pages

import type { RegressionCase } from '../../harness/regression/case.ts';
import { hex } from '../vocabulary/expect.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device, snapshot } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-any-unpinnable',
  fails: { kind: 'assertion', text: 'still on the device' },
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const gup = yield* c.open('/sys/kernel/debug/gup_test', U.O_RDWR);
    const b = yield* small_buffer(c, x, 4);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 4, 'migrating to the device');
    const F = U.GUP_TEST;
    const arg = yield* c.malloc(F.size);
    yield* c.memset(arg, 0, F.size);
    yield* c.store64(arg + F.addr, b.ptr);
    yield* c.store64(arg + F.len, 4 * PAGE);
    yield* c.store32(arg + F.nr_pages_per_call, 4);
    yield* c.store32(arg + F.gup_flags, U.FOLL_WRITE);
    const ret = yield* c.ioctl(gup, U.PIN_LONGTERM_BENCHMARK, arg);
    x.check(ret === 0, `pinning ended with errno ${c.errno}`);
    const bytes = yield* snapshot(c, fd, b, 4);
    for (const byte of typeof bytes === 'number' ? [bytes] : bytes) {
      x.check(
        byte === U.HMM_DMIRROR_PROT_WRITE,
        `a page that was pinned for long is ${hex(byte)} in the snapshot: still on the device`,
      );
    }
  },
};

export default regression;
