// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_process, small_machine } from '../../../kernel/testing.ts';
import { do_syscall_64 } from './syscall_64.ts';

const [ENOSYS, EFAULT, EBADF, EINVAL] = [-38, -14, -9, -22];
const [CLOSE, MMAP, OPEN, NANOSLEEP, GETPID] = [3, 9, 2, 35, 39];

t.test('system calls go by number, take addresses, and answer -errno', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      t.equal(yield* do_syscall_64(m, 9999), ENOSYS);
      t.equal(yield* do_syscall_64(m, GETPID), m.current.tgid);
      t.equal(yield* do_syscall_64(m, CLOSE, 77), EBADF);
      t.equal(yield* do_syscall_64(m, OPEN, 0x1000, 0, 0), EFAULT, 'a path at an address that is not mapped');
      t.equal(yield* do_syscall_64(m, NANOSLEEP, 0x1000), EFAULT);
      t.equal(yield* do_syscall_64(m, MMAP, 0, 4096, 3, 0x22, -1, 5), EINVAL, 'an offset within a page');
    }),
    0,
  );
  t.end();
});
