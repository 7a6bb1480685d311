// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: mm/memory.c: return vm_fault_t from migrate_to_ram()
// Upstream: follow-up of 16ce101db85d
//
// Bug:
//  1. A driver cannot give a private page back: its migrate_to_ram() answers VM_FAULT_SIGBUS.
//  2. do_swap_page() drops the answer and says that the fault is done.
//  3. The access faults again, for ever; the process never gets its signal.
//
// Running: npm run -s regression -- run bus-error-of-migrate-to-ram

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'mm/memory.c: return vm_fault_t from migrate_to_ram()',
  upstream: 'follow-up of 16ce101db85d',
  bug: [
    'A driver cannot give a private page back: its migrate_to_ram() answers VM_FAULT_SIGBUS.',
    'do_swap_page() drops the answer and says that the fault is done.',
    'The access faults again, for ever; the process never gets its signal.',
  ],
  without: ['no-migrate-to-ram-ret'],
  with: [],
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
