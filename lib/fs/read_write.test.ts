// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { do_eventfd } from './eventfd.ts';
import { fget } from './file.ts';
import { fput } from './file_table.ts';
import type { file, files_struct } from './fs.ts';
import { sys_ioctl } from './ioctl.ts';
import { vfs_register_file } from './namei.ts';
import { do_sys_open, ksys_fallocate, ksys_ftruncate, vfs_fallocate } from './open.ts';
import { ksys_lseek, ksys_pread64, ksys_pwrite64, ksys_read, ksys_write } from './read_write.ts';

const BUF = 0x300000000;
const PAGE = 4096;
const [O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK, O_TMPFILE] = [0, 1, 2, 0o4000, 0o20200000];
const [ENXIO, EBADF, EFAULT, ENODEV, EINVAL, ENOTTY, EFBIG, ESPIPE, EOPNOTSUPP] = [
  -6, -9, -14, -19, -22, -25, -27, -29, -95,
];

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 2 * PAGE, 3, 0x32, -1, 0);
    yield* body(m);
  });
}

t.test("what is wrong with a read or write is found in upstream's order", (t) => {
  run(function* (m) {
    const asked: [number, number][] = [];
    vfs_register_file(m, '/sys/kernel/debug/big', 0o600, {
      *read(_m, _f, _buf, count, pos): Gen<number> {
        asked.push([count, pos]);
        return 5;
      },
    });
    const ro = yield* do_sys_open(m, '/dev/zero', O_RDONLY, 0);
    const wo = yield* do_sys_open(m, '/dev/zero', O_WRONLY, 0);
    const fd = yield* do_sys_open(m, '/sys/kernel/debug/big', O_RDWR, 0);
    t.equal(yield* ksys_read(m, wo, 2 ** 47, 8), EBADF, 'not opened for it');
    t.equal(yield* ksys_write(m, ro, BUF, 8), EBADF);
    t.equal(yield* ksys_read(m, 99, BUF, 8), EBADF);
    t.equal(yield* ksys_write(m, fd, 2 ** 63, 8), EINVAL, 'the file cannot');
    t.equal(yield* ksys_read(m, fd, 2 ** 63, 8), EFAULT, 'an address of the kernel');
    t.equal(yield* ksys_pread64(m, 99, BUF, 8, -1), EINVAL, 'before the descriptor');
    t.equal(yield* ksys_pwrite64(m, 99, BUF, 8, 0), EBADF);
    t.equal(yield* ksys_read(m, fd, BUF, 2 ** 33), 5);
    t.same(asked, [[0x7ffff000, 0]], 'at most 2 GiB less a page');
    const event = do_eventfd(m, 0, 0);
    t.equal(yield* ksys_pread64(m, event, BUF, 8, 0), ESPIPE);
    t.equal(yield* ksys_pwrite64(m, event, BUF, 8, 0), ESPIPE);
  });
  t.end();
});

t.test('read and write move the position, pread and pwrite do not, lseek sets it', (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE | O_RDWR, 0o600);
    yield* user_store32(m, BUF, 0x04030201);
    t.equal(yield* ksys_write(m, fd, BUF, 4), 4);
    t.equal(ksys_lseek(m, fd, 0, 1), 4);
    t.equal(yield* ksys_pwrite64(m, fd, BUF, 2, 8), 2);
    t.equal(ksys_lseek(m, fd, 0, 1), 4);
    t.equal(yield* ksys_read(m, fd, BUF + 64, 100), 6, 'a hole of four and what pwrite wrote');
    t.equal(yield* user_load32(m, BUF + 68), 0x0201);
    t.equal(yield* ksys_read(m, fd, BUF, 100), 0);
    t.equal(yield* ksys_pread64(m, fd, BUF + 64, 2, 2), 2);
    t.equal((yield* user_load32(m, BUF + 64)) & 0xffff, 0x0403);
    t.equal(ksys_lseek(m, fd, -3, 2), 7, 'from the end');
    t.equal(ksys_lseek(m, fd, -8, 1), EINVAL);
    t.equal(ksys_lseek(m, fd, 0, 1), 7, 'and stays there');
    t.equal(ksys_lseek(m, fd, 5 * PAGE, 0), 5 * PAGE, 'beyond the end is allowed');
    t.equal(ksys_lseek(m, fd, 10, 3), ENXIO, 'no data there');
    t.equal(ksys_lseek(m, fd, 0, 5), EINVAL);
    t.equal(ksys_lseek(m, 99, 0, 0), EBADF);
    t.equal(ksys_lseek(m, do_eventfd(m, 0, 0), 0, 0), ESPIPE);
  });
  t.end();
});

t.test('ftruncate and fallocate', (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/tmp/x', O_RDWR | 0o100, 0o600);
    const ro = yield* do_sys_open(m, '/tmp/x', O_RDONLY, 0);
    const zero = yield* do_sys_open(m, '/dev/zero', O_RDWR, 0);
    t.equal(yield* ksys_ftruncate(m, fd, 2 * PAGE), 0);
    t.equal(ksys_lseek(m, ro, 0, 2), 2 * PAGE);
    t.equal(yield* ksys_ftruncate(m, fd, -1), EINVAL);
    t.equal(yield* ksys_ftruncate(m, ro, 0), EINVAL, 'not opened for writing');
    t.equal(yield* ksys_ftruncate(m, zero, 0), EINVAL, 'no regular file');
    t.equal(yield* ksys_ftruncate(m, 99, 0), EBADF);

    t.equal(yield* ksys_fallocate(m, 99, 0, 0, 1), EBADF);
    for (const [mode, offset, len, expected] of [
      [0, -1, 1, EINVAL],
      [0, 0, 0, EINVAL],
      [4, 0, 1, EOPNOTSUPP],
      [2, 0, PAGE, EOPNOTSUPP],
      [9, 0, PAGE, EOPNOTSUPP],
      [3 | 0x10, 0, PAGE, EOPNOTSUPP],
      [0, 2 ** 63 - PAGE, PAGE, EFBIG],
      [3, 0, PAGE, 0],
    ] as const)
      t.equal(yield* ksys_fallocate(m, fd, mode, offset, len), expected, `mode ${mode} at ${offset} for ${len}`);
    t.equal(yield* ksys_fallocate(m, ro, 3, 0, PAGE), EBADF);
    t.equal(yield* ksys_fallocate(m, ro, 2, 0, PAGE), EOPNOTSUPP, 'the mode comes first');
    t.equal(yield* ksys_fallocate(m, zero, 0, 0, PAGE), ENODEV);
    const event = fget(m, do_eventfd(m, 0, 0)) as file;
    t.equal(yield* vfs_fallocate(m, event, 0, 0, PAGE), EOPNOTSUPP);
    fput(m, event);
  });
  t.end();
});

t.test('ioctls for every file, and what the file does not know', (t) => {
  run(function* (m) {
    const [FIONBIO, FIOCLEX, FIONCLEX] = [0x5421, 0x5451, 0x5450];
    const fd = yield* do_sys_open(m, '/dev/zero', O_RDWR, 0);
    const files = m.current.files as files_struct;
    t.equal(yield* sys_ioctl(m, fd, FIOCLEX, 0), 0);
    t.ok(files.close_on_exec.has(fd));
    t.equal(yield* sys_ioctl(m, fd, FIONCLEX, 0), 0);
    t.notOk(files.close_on_exec.has(fd));
    yield* user_store32(m, BUF, 256);
    t.equal(yield* sys_ioctl(m, fd, FIONBIO, BUF), 0);
    t.equal((files.fd[fd] as file).f_flags & O_NONBLOCK, O_NONBLOCK);
    yield* user_store32(m, BUF, 0);
    t.equal(yield* sys_ioctl(m, fd, FIONBIO, BUF), 0);
    t.equal((files.fd[fd] as file).f_flags & O_NONBLOCK, 0);
    t.equal(yield* sys_ioctl(m, fd, FIONBIO, 0x1000), EFAULT);
    t.equal(yield* sys_ioctl(m, fd, 0x7777, 0), ENOTTY);
    t.equal(yield* sys_ioctl(m, 99, FIOCLEX, 0), EBADF);
    const seen: number[] = [];
    vfs_register_file(m, '/sys/kernel/debug/io', 0o600, {
      *unlocked_ioctl(_m, _f, cmd): Gen<number> {
        seen.push(cmd);
        return -515;
      },
    });
    const io = yield* do_sys_open(m, '/sys/kernel/debug/io', O_RDWR, 0);
    t.equal(yield* sys_ioctl(m, io, -1, 0), ENOTTY, 'ENOIOCTLCMD does not reach user space');
    t.same(seen, [0xffffffff], '32 bits without a sign');
  });
  t.end();
});
