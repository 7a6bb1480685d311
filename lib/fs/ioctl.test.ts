// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_load64, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { sys_pidfd_open } from '../kernel/pid.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { Unmodelled } from '../unmodelled.ts';
import { do_eventfd } from './eventfd.ts';
import type { file, files_struct } from './fs.ts';
import { sys_ioctl } from './ioctl.ts';
import { vfs_register_file } from './namei.ts';
import { do_sys_open, ksys_fallocate, ksys_ftruncate } from './open.ts';
import { ksys_lseek } from './read_write.ts';

const BUF = 0x300000000;
const BAD = 0x1000;
const PAGE = 4096;
const [O_RDONLY, O_RDWR, O_CREAT, O_NONBLOCK, O_ASYNC] = [0, 2, 0o100, 0o4000, 0o20000];
const [EFAULT, EINVAL, ENOTTY, EOPNOTSUPP] = [-14, -22, -25, -95];
const [FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, FIOASYNC, FIOQSIZE] = [0x541b, 0x5421, 0x5450, 0x5451, 0x5452, 0x5460];
const [FIBMAP, FIGETBSZ, FIEMAP, FIFREEZE, FITHAW] = [1, 2, 0xc020660b, 0xc0045877, 0xc0045878];
const [FICLONE, FICLONERANGE, FIDEDUPERANGE, RESVSP, ZERO_RANGE] = [
  0x40049409, 0x4020940d, 0xc0189436, 0x40305828, 0x40305839,
];
const [GETFLAGS, SETFLAGS, GETXATTR, SETXATTR, GETUUID, GETPATH] = [
  0x80086601, 0x40086602, 0x801c581f, 0x401c5820, 0x80111500, 0x80811501,
];

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 2 * PAGE, 3, 0x32, -1, 0);
    yield* body(m);
  });
}

function* throws(call: Gen<number>): Gen<boolean> {
  try {
    yield* call;
  } catch (e) {
    if (e instanceof Unmodelled) return true;
    throw e;
  }
  return false;
}

/**
 * A file of tmpfs, one of /proc, one of /sys, one of debugfs that answers 77, a device, directories, and files without
 * a name.
 */
function* open_all(
  m: Machine,
): Gen<Record<'tmp' | 'proc' | 'sys' | 'debug' | 'zero' | 'dir' | 'event' | 'pid', number>> {
  vfs_register_file(m, '/sys/kernel/debug/io', 0o600, {
    *unlocked_ioctl(): Gen<number> {
      return 77;
    },
  });
  return {
    tmp: yield* do_sys_open(m, '/tmp/x', O_RDWR | O_CREAT, 0o600),
    proc: yield* do_sys_open(m, '/proc/meminfo', O_RDONLY, 0),
    sys: yield* do_sys_open(m, '/sys/kernel/mm/transparent_hugepage/enabled', O_RDONLY, 0),
    debug: yield* do_sys_open(m, '/sys/kernel/debug/io', O_RDWR, 0),
    zero: yield* do_sys_open(m, '/dev/zero', O_RDWR, 0),
    dir: yield* do_sys_open(m, '/tmp', O_RDONLY, 0),
    event: do_eventfd(m, 0, 0),
    pid: sys_pidfd_open(m, m.current.pid, 0),
  };
}

t.test('close-on-exec, blocking and SIGIO', (t) => {
  run(function* (m) {
    const files = m.current.files as files_struct;
    const fd = yield* do_sys_open(m, '/dev/zero', O_RDWR, 0);
    const f = files.fd[fd] as file;
    t.equal(yield* sys_ioctl(m, fd, FIOCLEX, 0), 0);
    t.ok(files.close_on_exec.has(fd));
    t.equal(yield* sys_ioctl(m, fd, FIONCLEX, 0), 0);
    t.notOk(files.close_on_exec.has(fd));
    yield* user_store32(m, BUF, 256);
    t.equal(yield* sys_ioctl(m, fd, FIONBIO, BUF), 0);
    t.equal(f.f_flags & O_NONBLOCK, O_NONBLOCK);
    t.equal(yield* sys_ioctl(m, fd, FIOASYNC, BUF), ENOTTY, 'none of the files sends SIGIO');
    t.equal(f.f_flags & O_ASYNC, 0);
    yield* user_store32(m, BUF, 0);
    t.equal(yield* sys_ioctl(m, fd, FIONBIO, BUF), 0);
    t.equal(f.f_flags & O_NONBLOCK, 0);
    t.equal(yield* sys_ioctl(m, fd, FIOASYNC, BUF), 0, 'it is off already');
    for (const cmd of [FIONBIO, FIOASYNC]) t.equal(yield* sys_ioctl(m, fd, cmd, BAD), EFAULT);
    const async = yield* do_sys_open(m, '/dev/zero', O_RDWR | O_ASYNC, 0);
    t.equal(yield* sys_ioctl(m, async, FIOASYNC, BUF), ENOTTY, 'open() takes the flag all the same');
    yield* user_store32(m, BUF, 1);
    t.equal(yield* sys_ioctl(m, async, FIOASYNC, BUF), 0);
  });
  t.end();
});

t.test('what a file takes up, its rest and its block size', (t) => {
  run(function* (m) {
    const fd = yield* open_all(m);
    yield* ksys_ftruncate(m, fd.tmp, 2 ** 32 + 100);
    yield* ksys_fallocate(m, fd.tmp, 1, PAGE, 3 * PAGE);
    t.equal(ksys_lseek(m, fd.tmp, 60, 0), 60);
    yield* user_store64(m, BUF, 2 ** 40);
    t.equal(yield* sys_ioctl(m, fd.tmp, FIOQSIZE, BUF), 0);
    t.equal(yield* user_load64(m, BUF), 3 * PAGE, 'the pages that it has');
    t.equal(yield* sys_ioctl(m, fd.tmp, FIONREAD, BUF), 0);
    t.equal(yield* user_load32(m, BUF), 40, 'an int');
    for (const name of ['proc', 'sys', 'debug', 'dir'] as const) {
      t.equal(yield* sys_ioctl(m, fd[name], FIOQSIZE, BUF), 0, name);
      t.equal(yield* user_load64(m, BUF), 0);
    }
    for (const name of ['zero', 'event', 'pid'] as const)
      t.equal(yield* sys_ioctl(m, fd[name], FIOQSIZE, BUF), ENOTTY, name);
    for (const [name, rest] of [
      ['proc', 0],
      ['sys', PAGE],
      ['debug', 0],
    ] as const) {
      t.equal(yield* sys_ioctl(m, fd[name], FIONREAD, BUF), 0, name);
      t.equal(yield* user_load32(m, BUF), rest);
    }
    for (const name of ['zero', 'event', 'pid', 'dir'] as const)
      t.equal(yield* sys_ioctl(m, fd[name], FIONREAD, BUF), ENOTTY, name);
    for (const [name, size] of [
      ['tmp', PAGE],
      ['proc', 1024],
      ['sys', PAGE],
      ['debug', PAGE],
      ['zero', PAGE],
      ['dir', PAGE],
      ['event', PAGE],
      ['pid', PAGE],
    ] as const) {
      t.equal(yield* sys_ioctl(m, fd[name], FIGETBSZ, BUF), 0, name);
      t.equal(yield* user_load32(m, BUF), size);
    }
    for (const cmd of [FIOQSIZE, FIONREAD, FIGETBSZ]) t.equal(yield* sys_ioctl(m, fd.tmp, cmd, BAD), EFAULT);
  });
  t.end();
});

t.test('what these file systems do not have', (t) => {
  run(function* (m) {
    const fd = yield* open_all(m);
    for (const name of ['tmp', 'proc', 'debug', 'zero', 'dir', 'event'] as const) {
      t.equal(yield* sys_ioctl(m, fd[name], FIFREEZE, 0), EOPNOTSUPP, name);
      t.equal(yield* sys_ioctl(m, fd[name], FITHAW, 0), EINVAL, 'it is not frozen');
      t.equal(yield* sys_ioctl(m, fd[name], FIEMAP, BAD), EOPNOTSUPP);
      t.equal(yield* sys_ioctl(m, fd[name], GETPATH, BAD), ENOTTY);
    }
    yield* user_store32(m, BUF, 5);
    t.equal(yield* sys_ioctl(m, fd.debug, FIBMAP, BUF), EINVAL);
    t.equal(yield* user_load32(m, BUF), 0, 'no such block');
    t.equal(yield* sys_ioctl(m, fd.tmp, FIBMAP, BAD), EFAULT);
    yield* user_store32(m, BUF, -1);
    t.equal(yield* sys_ioctl(m, fd.tmp, FIBMAP, BUF), EINVAL);
    t.equal(yield* user_load32(m, BUF), 0xffffffff, 'not even looked for');
    t.equal(yield* sys_ioctl(m, fd.event, FIBMAP, BUF), ENOTTY, 'for regular files only');
    for (const name of ['proc', 'event'] as const) {
      for (const cmd of [GETFLAGS, GETXATTR, SETFLAGS, GETUUID])
        t.equal(yield* sys_ioctl(m, fd[name], cmd, BUF), ENOTTY, `${name} ${cmd}`);
      t.equal(yield* sys_ioctl(m, fd[name], SETFLAGS, BAD), EFAULT);
    }
    for (const cmd of [GETFLAGS, GETXATTR, SETFLAGS])
      t.equal(yield* sys_ioctl(m, fd.debug, cmd, BUF), 77, 'then the driver is asked');
    t.equal(yield* sys_ioctl(m, fd.zero, GETFLAGS, BUF), ENOTTY);
    t.equal(yield* sys_ioctl(m, fd.debug, GETUUID, BUF), ENOTTY);
    t.equal(yield* sys_ioctl(m, fd.debug, 0x541c, BUF), 77);
    t.equal(yield* sys_ioctl(m, fd.event, RESVSP, BUF), ENOTTY);
  });
  t.end();
});

t.test('what is not modelled says so', (t) => {
  run(function* (m) {
    const fd = yield* open_all(m);
    for (const cmd of [
      FICLONE,
      FICLONERANGE,
      FIDEDUPERANGE,
      SETXATTR,
      GETFLAGS,
      GETXATTR,
      SETFLAGS,
      GETUUID,
      RESVSP,
      ZERO_RANGE,
    ]) {
      t.ok(yield* throws(sys_ioctl(m, fd.tmp, cmd, BUF)), `${cmd}`);
    }
    t.ok(yield* throws(sys_ioctl(m, fd.sys, GETUUID, BUF)), 'made by chance');
    const root = yield* do_sys_open(m, '/', O_RDONLY, 0);
    t.equal(yield* sys_ioctl(m, root, FIOCLEX, 0), 0);
    for (const cmd of [FIGETBSZ, FIOQSIZE, FIEMAP, 0x7777])
      t.ok(yield* throws(sys_ioctl(m, root, cmd, BUF)), `${cmd} on the root file system`);
  });
  t.end();
});
