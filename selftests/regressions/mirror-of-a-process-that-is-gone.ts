// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run mirror-of-a-process-that-is-gone

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { HmmBuffer } from '../hmm-tests/buffer.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { command, open_device } from '../vocabulary/mirror.ts';
import { forked, thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const POLLIN = 1;

/**
 * Opens a mirror, hands it to a child and is gone; the child's command to it must end with `wanted`, and writes 1 to
 * `done` if it does.
 */
export function* leave_mirror_to_a_child(
  p: Libc,
  x: CaseContext,
  b: HmmBuffer,
  done: number,
  request: number,
  wanted: number,
): Gen<void> {
  const fd = yield* open_device(p, x, 0);
  const parent = yield* p.pidfd_open(p.getpid(), 0);
  yield* p.fork(function* (child) {
    yield* child.poll([{ fd: parent, events: POLLIN, revents: 0 }], -1);
    const ret = yield* command(child, fd, request, b, 1);
    yield* child.store64(b.ptr, ret === wanted ? 1 : 2);
    yield* child.write(done, b.ptr, 8);
  });
}

const regression: RegressionCase = {
  state: 'no-dmirror-fault-mm-gone',
  fails: { kind: 'livelock', text: 'no end after' },
  *run(c, x) {
    const done = yield* c.eventfd(0, 0);
    const b = yield* small_buffer(c, x, 1);
    yield* x.together([
      forked('the mirrored process', (p) => leave_mirror_to_a_child(p, x, b, done, U.HMM_DMIRROR_READ, -U.EFAULT)),
      thread('wait for the child', function* (t) {
        yield* t.read(done, b.ptr, 8);
      }),
    ]);
    x.check((yield* c.load64(b.ptr)) === 1, 'reading through the mirror did not end with -EFAULT');
  },
};

export default regression;
