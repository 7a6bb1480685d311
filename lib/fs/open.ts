// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EACCES, EBADF, EFBIG, EINVAL, ENODEV, ENOTDIR, EOPNOTSUPP } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { down_write, up_write } from '../kernel/locking/rwsem.ts';
import { fd_install, fget, file_close_fd, get_unused_fd_flags, put_unused_fd } from './file.ts';
import { fput, fput_close_sync } from './file_table.ts';
import { type file, FMODE_WRITE, S_IFDIR, S_IFMT } from './fs.ts';
import { absolute_path, AT_FDCWD, find_inode, getname, path_at, path_openat } from './namei.ts';

/** The close system call. Returns 0 or -EBADF (fs/open.c: close()). */
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
/** openat(2) (fs/open.c: openat()). */
export function* sys_openat(m: Machine, dfd: number, filename: number, flags: number, mode: number): Gen<number> {
  const name = yield* getname(m, filename, false);
  if (typeof name === 'number') return name;
  const path = path_at(m, dfd, name);
  return typeof path === 'number' ? path : yield* do_sys_open(m, path, flags, mode);
}

/** faccessat2(2) for root, who may do all but execute what nobody may (fs/open.c: do_faccessat()). */
export function* do_faccessat(m: Machine, dfd: number, filename: number, mode: number): Gen<number> {
  if (mode & ~7) return -EINVAL;
  const name = yield* getname(m, filename, false);
  if (typeof name === 'number') return name;
  const path = path_at(m, dfd, name);
  if (typeof path === 'number') return path;
  const node = yield* find_inode(m, path);
  if (typeof node === 'number') return node;
  return mode & 1 && (node.i_mode & S_IFMT) !== S_IFDIR && (node.i_mode & 0o111) === 0 ? -EACCES : 0;
}

/** access(2) (fs/open.c: access()). */
export function sys_access(m: Machine, filename: number, mode: number): Gen<number> {
  return do_faccessat(m, AT_FDCWD, filename, mode);
}

/** chdir(2) (fs/open.c: chdir()). */
export function* sys_chdir(m: Machine, filename: number): Gen<number> {
  const name = yield* getname(m, filename, false);
  if (typeof name === 'number') return name;
  const path = absolute_path(m, name);
  const node = yield* find_inode(m, path);
  if (typeof node === 'number') return node;
  if ((node.i_mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
  m.current.pwd = path;
  return 0;
}

/** open(2) (fs/open.c: open()). Leaves out O_LARGEFILE: all files here are small. */
export function* sys_open(m: Machine, filename: number, flags: number, mode: number): Gen<number> {
  return yield* sys_openat(m, AT_FDCWD, filename, flags, mode);
}
