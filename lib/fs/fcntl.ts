// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EBADF, EINVAL } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { Unmodelled } from '../unmodelled.ts';
import { fget, get_unused_fd_from, fd_install } from './file.ts';
import { fput } from './file_table.ts';
import { type file, type files_struct, O_CLOEXEC, O_NONBLOCK } from './fs.ts';

const F_DUPFD = 0;
const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;
const O_APPEND = 0o2000;
/** Highest descriptor plus one (include/uapi/linux/fs.h: INR_OPEN_CUR). */
const INR_OPEN_CUR = 1024;

/** Returns a new descriptor, `from` or more, for the file, or -errno. NON-KERNEL: F_DUPFD of do_fcntl(). */
function f_dupfd(m: Machine, from: number, f: file, flags: number): number {
  if (from < 0 || from >= INR_OPEN_CUR) return -EINVAL;
  const fd = get_unused_fd_from(m, from, flags);
  if (fd >= 0) {
    f.f_count++;
    fd_install(m, fd, f);
  }
  return fd;
}

/** fcntl(2) (fs/fcntl.c: do_fcntl()). Leaves out locks, owners, leases and seals. */
export function* sys_fcntl(m: Machine, fd: number, cmd: number, arg: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const files = m.current.files as files_struct;
  let ret = 0;
  switch (cmd) {
    case F_DUPFD:
      ret = f_dupfd(m, arg, f, 0);
      break;
    case F_DUPFD_CLOEXEC:
      ret = f_dupfd(m, arg, f, O_CLOEXEC);
      break;
    case F_GETFD:
      ret = files.close_on_exec.has(fd) ? FD_CLOEXEC : 0;
      break;
    case F_SETFD:
      if (arg & FD_CLOEXEC) files.close_on_exec.add(fd);
      else files.close_on_exec.delete(fd);
      break;
    case F_GETFL:
      ret = f.f_flags;
      break;
    case F_SETFL:
      f.f_flags = (f.f_flags & ~(O_NONBLOCK | O_APPEND)) | (arg & (O_NONBLOCK | O_APPEND));
      break;
    default:
      throw new Unmodelled(`fs/fcntl.c: do_fcntl() with command ${cmd}`);
  }
  fput(m, f);
  return ret;
}
