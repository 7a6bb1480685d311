// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { EBADF, EFAULT, EFBIG, EINVAL, ENAMETOOLONG, ENODEV, EOPNOTSUPP } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { down_write, up_write } from '../kernel/locking/rwsem.ts';
import { strncpy_from_user } from '../strncpy_from_user.ts';
import { fd_install, fget, file_close_fd, get_unused_fd_flags, put_unused_fd } from './file.ts';
import { fput, fput_close_sync } from './file_table.ts';
import { type file, FMODE_WRITE } from './fs.ts';
import { path_openat } from './namei.ts';

/** The close system call. Returns 0 or -EBADF (fs/open.c: SYSCALL_DEFINE1(close)). */
export function* ksys_close(m: Machine, fd: number): Gen<number> {
  const f = file_close_fd(m, fd);
  if (f === null) return -EBADF;
  yield* fput_close_sync(m, f);
  return 0;
}

/** The open system call. Returns a descriptor or -errno; the caller is root (fs/open.c: do_sys_open()). */
export function* do_sys_open(m: Machine, path: string, flags: number, mode: number): Gen<number> {
  const fd = get_unused_fd_flags(m, flags);
  if (fd < 0) return fd;
  const f = yield* path_openat(m, path, flags, mode);
  if (typeof f === 'number') {
    put_unused_fd(m, fd);
    return f;
  }
  fd_install(m, fd, f);
  return fd;
}

// include/uapi/linux/falloc.h
/** Bytes of a path, its NUL included (include/uapi/linux/limits.h: PATH_MAX). */
export const PATH_MAX = 4096;

const FALLOC_FL_ALLOCATE_RANGE = 0;
const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_COLLAPSE_RANGE = 0x08;
const FALLOC_FL_ZERO_RANGE = 0x10;
const FALLOC_FL_INSERT_RANGE = 0x20;
const FALLOC_FL_UNSHARE_RANGE = 0x40;
const FALLOC_FL_WRITE_ZEROES = 0x80;

/** The ftruncate system call. Returns 0 or -errno (fs/open.c: ksys_ftruncate()). */
export function* ksys_ftruncate(m: Machine, fd: number, length: number): Gen<number> {
  if (length < 0) return -EINVAL;
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  let ret = -EINVAL;
  if (f.f_op.setattr_size !== undefined && f.f_mode & FMODE_WRITE) {
    yield* down_write(m, f.f_inode.i_rwsem);
    ret = yield* f.f_op.setattr_size(m, f, length);
    up_write(m, f.f_inode.i_rwsem);
  }
  fput(m, f);
  return ret;
}

/** Returns true for at most one mode, with FALLOC_FL_KEEP_SIZE as that mode requires (fs/open.c: vfs_fallocate()). */
function fallocate_mode_valid(mode: number): boolean {
  const keep_size = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case FALLOC_FL_ALLOCATE_RANGE:
    case FALLOC_FL_UNSHARE_RANGE:
    case FALLOC_FL_ZERO_RANGE:
      return true;
    case FALLOC_FL_PUNCH_HOLE:
      return keep_size;
    case FALLOC_FL_COLLAPSE_RANGE:
    case FALLOC_FL_INSERT_RANGE:
    case FALLOC_FL_WRITE_ZEROES:
      return !keep_size;
    default:
      return false;
  }
}

/**
 * Allocates or punches [offset, offset + len) of an open file, in bytes. Returns 0 or -errno (fs/open.c:
 * vfs_fallocate()).
 */
export function* vfs_fallocate(m: Machine, f: file, mode: number, offset: number, len: number): Gen<number> {
  if (offset < 0 || len <= 0) return -EINVAL;
  if (!fallocate_mode_valid(mode)) return -EOPNOTSUPP;
  if (!(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_inode.i_rdev !== 0) return -ENODEV;
  if (offset + len >= 2 ** 63) return -EFBIG;
  if (f.f_op.fallocate === undefined) return -EOPNOTSUPP;
  return yield* f.f_op.fallocate(m, f, mode, offset, len);
}

/** The fallocate system call. Returns 0 or -errno (fs/open.c: ksys_fallocate()). */
export function* ksys_fallocate(m: Machine, fd: number, mode: number, offset: number, len: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* vfs_fallocate(m, f, mode, offset, len);
  fput(m, f);
  return ret;
}
/** open(2) (fs/open.c: open()). Leaves out O_LARGEFILE: all files here are small. */
export function* sys_open(m: Machine, filename: number, flags: number, mode: number): Gen<number> {
  const path = yield* strncpy_from_user(m, filename, PATH_MAX);
  if (typeof path === 'number') return path < 0 ? path : -EFAULT;
  if (path.length >= PATH_MAX) return -ENAMETOOLONG;
  return yield* do_sys_open(m, path, flags, mode);
}
