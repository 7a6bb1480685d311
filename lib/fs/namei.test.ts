// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_load8, user_memset, user_store64 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import {
  alloc_chrdev_region,
  cdev,
  cdev_device_add,
  cdev_device_del,
  cdev_init,
  device,
  MAJOR,
  MINOR,
  register_chrdev_region,
} from './char_dev.ts';
import { do_eventfd } from './eventfd.ts';
import type { file_operations } from './fs.ts';
import { sys_ioctl } from './ioctl.ts';
import { do_unlink } from './namei.ts';
import { do_sys_open, ksys_close } from './open.ts';
import { do_poll } from './poll.ts';
import { ksys_lseek, ksys_pread64, ksys_read, ksys_write } from './read_write.ts';
import { do_scandir } from './readdir.ts';

const BUF = 0x300000000;
const PAGE = 4096;
const [O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK, O_DIRECTORY, O_TMPFILE] = [
  1, 2, 0o100, 0o200, 0o4000, 0o200000, 0o20200000,
];
const [ENOENT, ENXIO, EBADF, EAGAIN, EACCES, EBUSY, EEXIST, ENOTDIR, EISDIR, EINVAL, ENOTTY, ESPIPE] = [
  -2, -6, -9, -11, -13, -16, -17, -20, -21, -22, -25, -29,
];

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 4 * PAGE, 3, 0x32, -1, 0);
    yield* body(m);
  });
}

t.test('a child has the files that its parent had, and its own numbers', (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/dev/zero', O_RDWR, 0);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* ksys_read(m, fd, BUF, 8), 8);
      t.equal(yield* ksys_close(m, fd), 0);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal(yield* ksys_read(m, fd, BUF, 8), 8);
  });
  t.end();
});

t.test('paths that name nothing, or not what was asked for', (t) => {
  run(function* (m) {
    t.equal(yield* do_sys_open(m, '', 0, 0), ENOENT);
    t.equal(yield* do_sys_open(m, '/dev/hmm_dmirror0', O_RDWR, 0), ENOENT);
    t.equal(yield* do_sys_open(m, '/tmp/a', 0, 0), ENOENT);
    t.equal(yield* do_sys_open(m, '/tmp', O_RDWR, 0), EISDIR);
    t.equal(yield* do_sys_open(m, '/tmp', O_TMPFILE, 0), EINVAL, 'a file without a name must be writable');
    t.equal(yield* do_sys_open(m, '/dev/zero', O_DIRECTORY, 0), ENOTDIR);
    t.equal(yield* do_sys_open(m, '/dev/zero/x', O_CREAT, 0), ENOTDIR);
    t.ok((yield* do_sys_open(m, '/tmp//./b', O_RDWR | O_CREAT | O_EXCL, 0o600)) >= 0);
    t.equal(yield* do_sys_open(m, '/tmp/b', O_RDWR | O_CREAT | O_EXCL, 0o600), EEXIST);
    t.same(yield* do_scandir(m, '/tmp'), [
      { d_name: '.', d_type: 4 },
      { d_name: '..', d_type: 4 },
      { d_name: 'b', d_type: 8 },
    ]);
    t.equal(yield* do_unlink(m, '/tmp/b'), 0);
    t.equal(yield* do_sys_open(m, '/tmp/b', O_RDWR, 0), ENOENT);
    const dir = yield* do_sys_open(m, '/tmp', 0, 0);
    t.equal(yield* ksys_read(m, dir, BUF, 8), EISDIR);
  });
  t.end();
});

t.test('the memory devices', (t) => {
  run(function* (m) {
    const zero = yield* do_sys_open(m, '/dev/zero', O_RDWR, 0);
    yield* user_memset(m, BUF, 0xff, 16);
    t.equal(yield* ksys_read(m, zero, BUF, 8), 8);
    t.equal(yield* user_load32(m, BUF + 4), 0);
    t.equal(yield* user_load8(m, BUF + 8), 0xff);
    t.equal(yield* ksys_read(m, zero, 0x7000, 8), -14);
    const null_fd = yield* do_sys_open(m, '/dev/null', O_RDWR, 0);
    t.equal(yield* ksys_write(m, null_fd, BUF, 100), 100);
    t.equal(yield* ksys_read(m, null_fd, BUF, 100), 0);
    const random = yield* do_sys_open(m, '/dev/urandom', 0, 0);
    t.equal(yield* ksys_read(m, random, BUF, 16), 16);
    t.equal(yield* ksys_write(m, random, BUF, 16), EBADF);
    t.equal(yield* sys_ioctl(m, zero, 0x1234, 0), ENOTTY);
    t.equal(yield* sys_ioctl(m, 99, 0x1234, 0), EBADF);
  });
  t.end();
});

t.test('a character device answers while it is registered, and stays for whom it is open', (t) => {
  run(function* (m) {
    const calls: string[] = [];
    const owner = { refcount: 0 };
    const fops: file_operations = {
      owner,
      *open(_m, node): Gen<number> {
        calls.push(`open ${MINOR(node.i_rdev)}`);
        return calls.length > 1 ? EBUSY : 0;
      },
      *release(): Gen<number> {
        calls.push('release');
        return 0;
      },
      *unlocked_ioctl(_m, _f, cmd): Gen<number> {
        return cmd === 5 ? 55 : -515;
      },
    };
    const from = alloc_chrdev_region(m, 0, 4, 'fake');
    t.equal(MAJOR(from), 254);
    t.equal(register_chrdev_region(m, from + 3, 2, 'other'), EBUSY);
    const c = new cdev();
    cdev_init(c, fops);
    const dev = new device();
    dev.devt = from + 2;
    t.equal(cdev_device_add(m, c, dev), EINVAL, 'no name');
    dev.name = 'fake2';
    t.equal(cdev_device_add(m, c, dev), 0);
    const fd = yield* do_sys_open(m, '/dev/fake2', O_RDWR, 0);
    t.ok(fd >= 0);
    t.equal(owner.refcount, 1);
    t.equal(yield* do_sys_open(m, '/dev/fake2', O_RDWR, 0), EBUSY);
    t.equal(owner.refcount, 1);
    t.equal(yield* sys_ioctl(m, fd, 5, 0), 55);
    t.equal(yield* sys_ioctl(m, fd, 6, 0), ENOTTY);
    t.equal(yield* ksys_read(m, fd, BUF, 8), EINVAL);
    cdev_device_del(m, c, dev);
    t.equal(yield* do_sys_open(m, '/dev/fake2', O_RDWR, 0), ENOENT);
    t.equal(yield* sys_ioctl(m, fd, 5, 0), 55);
    t.equal(yield* ksys_close(m, fd), 0);
    t.equal(owner.refcount, 0);
    t.same(calls, ['open 2', 'open 2', 'release']);
    m.vfs.nodes.set('/dev/stale', {
      kind: 'chr',
      node: Object.assign(m.vfs.nodes.get('/dev/zero')?.node ?? {}, { i_rdev: 0x12345, i_cdev: null }) as never,
    });
    t.equal(yield* do_sys_open(m, '/dev/stale', O_RDWR, 0), ENXIO);
  });
  t.end();
});

t.test('an eventfd counts, wakes its reader, and has no positions', (t) => {
  run(function* (m) {
    t.equal(do_eventfd(m, 0, 0x40), EINVAL);
    const fd = do_eventfd(m, 3, O_NONBLOCK);
    t.equal(yield* ksys_read(m, fd, BUF, 4), EINVAL);
    t.equal(yield* ksys_read(m, fd, BUF, 8), 8);
    t.equal(yield* user_load32(m, BUF), 3);
    t.equal(yield* ksys_read(m, fd, BUF, 8), EAGAIN);
    t.equal(yield* ksys_pread64(m, fd, BUF, 8, 0), ESPIPE);
    t.equal(ksys_lseek(m, fd, 0, 0), ESPIPE);
    const list = [
      { fd, events: 5, revents: 0 },
      { fd: -1, events: 1, revents: 9 },
      { fd: 77, events: 0, revents: 0 },
    ];
    t.equal(yield* do_poll(m, list, 0), 2);
    t.same(
      list.map((p) => p.revents),
      [4, 0, 0x20],
    );
    const sem = do_eventfd(m, 2, 1);
    t.equal(yield* ksys_read(m, sem, BUF, 8), 8);
    t.equal(yield* user_load32(m, BUF), 1);
    yield* kernel_clone(m, 0, function* () {
      yield* user_store64(m, BUF + 8, 40);
      t.equal(yield* ksys_write(m, fd, BUF + 8, 8), 8);
    });
    const wait = [{ fd, events: 1, revents: 0 }];
    t.equal(yield* do_poll(m, wait, -1), 1);
    t.equal(yield* ksys_read(m, fd, BUF, 8), 8);
    t.equal(yield* user_load32(m, BUF), 40);
    const before = m.sched.now;
    t.equal(yield* do_poll(m, wait, 5e6), 0);
    t.ok(m.sched.now - before >= 5e6, 'the timeout passed');
  });
  t.end();
});

t.test('files of text: what may be read and written', (t) => {
  run(function* (m) {
    const path = '/sys/kernel/mm/transparent_hugepage/enabled';
    const fd = yield* do_sys_open(m, path, O_RDWR, 0);
    t.equal(yield* ksys_read(m, fd, BUF, 100), 'always madvise [never]\n'.length);
    t.equal(yield* ksys_read(m, fd, BUF, 100), 0);
    t.equal(yield* ksys_pread64(m, fd, BUF, 6, 7), 6);
    t.equal(yield* user_load8(m, BUF), 'm'.charCodeAt(0));
    t.equal(yield* do_sys_open(m, '/sys/kernel/mm/transparent_hugepage/hpage_pmd_size', O_WRONLY, 0), EACCES);
    t.equal(yield* do_sys_open(m, '/sys/kernel/mm/nothing', 0, 0), ENOENT);
    const info = yield* do_sys_open(m, '/proc/meminfo', O_RDWR, 0);
    t.equal(yield* ksys_write(m, info, BUF, 4), -5);
  });
  t.end();
});
