// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import { do_syscall_64 } from './syscalls.ts';
import { small_machine } from './testing.ts';

const [ENOSYS, EFAULT, EBADF, EINVAL] = [38, 14, 9, 22];
const [CLOSE, MMAP, OPEN, NANOSLEEP, GETPID] = [3, 9, 2, 35, 39];

t.test('system calls go by number, take addresses, and answer -errno', (t) => {
  const m = small_machine();
  runProgram(m, function* (c) {
    t.equal(yield* do_syscall_64(m, 9999), -ENOSYS);
    t.equal(yield* do_syscall_64(m, GETPID), c.getpid());
    t.equal(yield* do_syscall_64(m, CLOSE, 77), -EBADF);
    t.equal(yield* do_syscall_64(m, OPEN, 0x1000, 0, 0), -EFAULT, 'a path at an address that is not mapped');
    t.equal(yield* do_syscall_64(m, NANOSLEEP, 0x1000), -EFAULT);
    t.equal(yield* do_syscall_64(m, MMAP, 0, 4096, 3, 0x22, -1, 5), -EINVAL, 'an offset within a page');
    return 0;
  });
  t.end();
});

t.test('a sleep takes modelled time, not ours', (t) => {
  const m = small_machine();
  runProgram(m, function* (c) {
    const before = c.clock_gettime();
    yield* c.nanosleep(3e9);
    t.ok(c.clock_gettime() - before >= 3e9);
    return 0;
  });
  t.end();
});
