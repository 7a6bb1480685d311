// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run bus-error-of-migrate-to-ram

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'no-migrate-to-ram-ret',
  fails: { kind: 'livelock', text: 'no end after' },
  *run(c, x) {
    const loaded = yield* x.modprobe('sigbus_driver');
    x.check(loaded === 0, `loading sigbus_driver ended with ${loaded}`);
    const fd = yield* c.open('/dev/sigbus', U.O_RDWR);
    const b = yield* small_buffer(c, x, 1);
    const ret = yield* c.ioctl(fd, 0, b.ptr);
    x.check(ret === 0, `migrating to the device ended with ${ret}`);
    let sig = 0;
    yield* x.together([
      thread('touch the page', function* (t) {
        sig = yield* t.catch_signal(function* () {
          yield* t.load32(b.ptr);
        });
      }),
    ]);
    x.check(sig === U.SIGBUS, `the access ended with signal ${sig}`);
  },
};

export default regression;
