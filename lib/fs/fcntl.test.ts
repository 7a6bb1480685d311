// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_clean, run_process, small_machine } from '../kernel/testing.ts';
import { sys_fcntl } from './fcntl.ts';
import { do_eventfd } from './eventfd.ts';
import { ksys_close } from './open.ts';

const [DUPFD, GETFD, SETFD, GETFL, SETFL, GETLK, DUPFD_CLOEXEC] = [0, 1, 2, 3, 4, 5, 1030];
const [O_RDWR, O_NONBLOCK] = [2, 0o4000];
const [EBADF, EINVAL] = [-9, -22];

t.test(
  'descriptors are copied to the first free one from a number on, and closed by exec if they say so',
  async (t) => {
    run_clean(t, small_machine(), function* (m) {
      const fd = do_eventfd(m, 0, 0);
      t.equal(yield* sys_fcntl(m, 99, GETFD, 0), EBADF);
      t.equal(yield* sys_fcntl(m, fd, DUPFD, 10), 10);
      t.equal(yield* sys_fcntl(m, fd, DUPFD_CLOEXEC, 10), 11);
      t.equal(yield* sys_fcntl(m, fd, DUPFD, 1024), EINVAL);
      t.same([yield* sys_fcntl(m, 10, GETFD, 0), yield* sys_fcntl(m, 11, GETFD, 0)], [0, 1]);
      t.equal(yield* sys_fcntl(m, 11, SETFD, 0), 0);
      t.equal(yield* sys_fcntl(m, 10, SETFD, 1), 0);
      t.same([yield* sys_fcntl(m, 10, GETFD, 0), yield* sys_fcntl(m, 11, GETFD, 0)], [1, 0]);
      for (const it of [fd, 10, 11]) t.equal(yield* ksys_close(m, it), 0);
    });
  },
);

t.test('of the flags of an open file, waiting may be changed; copies share them', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    const fd = do_eventfd(m, 0, 0);
    const copy = yield* sys_fcntl(m, fd, DUPFD, 0);
    t.equal(yield* sys_fcntl(m, fd, SETFL, O_NONBLOCK | 1), 0);
    t.equal(yield* sys_fcntl(m, copy, GETFL, 0), O_RDWR | O_NONBLOCK);
    t.equal(yield* sys_fcntl(m, fd, SETFL, 0), 0);
    t.equal(yield* sys_fcntl(m, copy, GETFL, 0), O_RDWR);
  });
  const m = small_machine();
  t.throws(() => run_process(m, () => sys_fcntl(m, do_eventfd(m, 0, 0), GETLK, 0)), { name: 'Unmodelled' });
});
