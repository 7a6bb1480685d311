// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run migration-invalidates-its-own-device

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, must, open_device } from '../vocabulary/mirror.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'src-owner',
  patch: { subject: 'mm/notifier: add migration invalidation type', where: '998427b3ad2c' },
  bug: [
    'A device has a range mapped and migrates it; one page cannot go, for want of memory.',
    'The migration is told to every mirror as MMU_NOTIFY_CLEAR, and the device cannot know that it is its own: it drops the whole range.',
    'It has to fault the page that stayed in again, although nothing about it changed.',
  ],
  fails: { kind: 'assertion', text: 'the device faulted 1 times' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 3);
    yield* must(c, x, fd, U.HMM_DMIRROR_READ, b, 3, 'reading by the device');
    const flags = yield* c.malloc(U.HMM_DMIRROR_CMD.size);
    yield* c.memset(flags, 0, U.HMM_DMIRROR_CMD.size);
    yield* c.store64(flags + U.HMM_DMIRROR_CMD.npages, U.HMM_DMIRROR_FLAG_FAIL_ALLOC);
    yield* c.ioctl(fd, U.HMM_DMIRROR_FLAGS, flags);
    yield* command(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 3);
    yield* must(c, x, fd, U.HMM_DMIRROR_READ, b, 1, 'reading the page that stayed');
    x.check(b.faults === 0, `the device faulted ${b.faults} times to read the page that stayed`);
  },
};

export default regression;
