// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { EBADF, EFAULT, EFBIG, EINVAL, ENODEV, ENOIOCTLCMD, ENOTTY, ENXIO, EOPNOTSUPP, EOVERFLOW, ESPIPE } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { down_write, up_write } from '../kernel/locks.ts';
import { access_ok } from '../arch/x86/mm/uaccess.ts';
import { Unmodelled } from '../unmodelled.ts';
import { fget, fput } from './file_table.ts';
import { FMODE_LSEEK, FMODE_PREAD, FMODE_PWRITE, FMODE_READ, FMODE_WRITE, type file } from './fs.ts';
import { do_vfs_ioctl } from './ioctl.ts';

/** most bytes that one read or write moves (include/linux/fs.h: MAX_RW_COUNT) */
const MAX_RW_COUNT = 0x7ffff000;

// include/uapi/linux/falloc.h
const FALLOC_FL_ALLOCATE_RANGE = 0;
const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_COLLAPSE_RANGE = 0x08;
const FALLOC_FL_ZERO_RANGE = 0x10;
const FALLOC_FL_INSERT_RANGE = 0x20;
const FALLOC_FL_UNSHARE_RANGE = 0x40;
const FALLOC_FL_WRITE_ZEROES = 0x80;

function* vfs_read(m: Machine, f: file, buf: number, count: number, pos: number): Gen<number> {
  if (!(f.f_mode & FMODE_READ)) return -EBADF;
  if (f.f_op.read === undefined) return -EINVAL;
  if (!access_ok(buf, count)) return -EFAULT;
  if (pos < 0) return -EINVAL;
  return yield* f.f_op.read(m, f, buf, Math.min(count, MAX_RW_COUNT), pos);
}

function* vfs_write(m: Machine, f: file, buf: number, count: number, pos: number): Gen<number> {
  if (!(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_op.write === undefined) return -EINVAL;
  if (!access_ok(buf, count)) return -EFAULT;
  if (pos < 0) return -EINVAL;
  return yield* f.f_op.write(m, f, buf, Math.min(count, MAX_RW_COUNT), pos);
}

/** read(2) at the file's position, which moves on: bytes or -errno (fs/read_write.c: ksys_read()). */
export function* ksys_read(m: Machine, fd: number, buf: number, count: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* vfs_read(m, f, buf, count, f.f_pos);
  if (ret > 0) f.f_pos += ret;
  fput(m, f);
  return ret;
}

/** write(2) at the file's position, which moves on: bytes or -errno (fs/read_write.c: ksys_write()). */
export function* ksys_write(m: Machine, fd: number, buf: number, count: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* vfs_write(m, f, buf, count, f.f_pos);
  if (ret > 0) f.f_pos += ret;
  fput(m, f);
  return ret;
}

/** pread(2): bytes or -errno; -ESPIPE where the file has no positions (fs/read_write.c: ksys_pread64()). */
export function* ksys_pread64(m: Machine, fd: number, buf: number, count: number, pos: number): Gen<number> {
  if (pos < 0) return -EINVAL;
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = f.f_mode & FMODE_PREAD ? yield* vfs_read(m, f, buf, count, pos) : -ESPIPE;
  fput(m, f);
  return ret;
}

/** pwrite(2): bytes or -errno; -ESPIPE where the file has no positions (fs/read_write.c: ksys_pwrite64()). */
export function* ksys_pwrite64(m: Machine, fd: number, buf: number, count: number, pos: number): Gen<number> {
  if (pos < 0) return -EINVAL;
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = f.f_mode & FMODE_PWRITE ? yield* vfs_write(m, f, buf, count, pos) : -ESPIPE;
  fput(m, f);
  return ret;
}

/** lseek(2) with SEEK_SET, SEEK_CUR or SEEK_END: the new position or -errno (fs/read_write.c: ksys_lseek()). */
export function ksys_lseek(m: Machine, fd: number, offset: number, whence: number): number {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  fput(m, f);
  if (whence < 0 || whence > 4) return -EINVAL;
  if (!(f.f_mode & FMODE_LSEEK)) return -ESPIPE;
  if (whence === 3 || whence === 4) {
    if (f.f_mapping === null || offset < 0 || offset >= f.f_inode.i_size) return -ENXIO;
    throw new Unmodelled('fs/read_write.c: lseek() with SEEK_DATA or SEEK_HOLE');
  }
  const pos = offset + (whence === 1 ? f.f_pos : whence === 2 ? f.f_inode.i_size : 0);
  if (pos < 0) return -EINVAL;
  if (pos > Number.MAX_SAFE_INTEGER) return -EOVERFLOW;
  f.f_pos = pos;
  return pos;
}

/** ftruncate(2): 0 or -errno (fs/open.c: ksys_ftruncate()). */
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

// At most one of the modes, each with or without FALLOC_FL_KEEP_SIZE as it must be.
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

/** fallocate(2) on an open file: 0 or -errno; len in bytes, above 0 (fs/open.c: vfs_fallocate()). */
export function* vfs_fallocate(m: Machine, f: file, mode: number, offset: number, len: number): Gen<number> {
  if (offset < 0 || len <= 0) return -EINVAL;
  if (!fallocate_mode_valid(mode)) return -EOPNOTSUPP;
  if (!(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_inode.i_rdev !== 0) return -ENODEV;
  if (offset + len >= 2 ** 63) return -EFBIG;
  if (f.f_op.fallocate === undefined) return -EOPNOTSUPP;
  return yield* f.f_op.fallocate(m, f, mode, offset, len);
}

/** fallocate(2): 0 or -errno (fs/open.c: ksys_fallocate()). */
export function* ksys_fallocate(m: Machine, fd: number, mode: number, offset: number, len: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* vfs_fallocate(m, f, mode, offset, len);
  fput(m, f);
  return ret;
}

function* do_ioctl(m: Machine, fd: number, f: file, cmd: number, arg: number): Gen<number> {
  const error = yield* do_vfs_ioctl(m, fd, f, cmd, arg);
  if (error !== -ENOIOCTLCMD) return error;
  if (f.f_op.unlocked_ioctl === undefined) return -ENOTTY;
  const ret = yield* f.f_op.unlocked_ioctl(m, f, cmd, arg);
  return ret === -ENOIOCTLCMD ? -ENOTTY : ret;
}

/** ioctl(2); cmd is taken as 32 bits (fs/ioctl.c: SYSCALL_DEFINE3(ioctl)). */
export function* sys_ioctl(m: Machine, fd: number, cmd: number, arg: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* do_ioctl(m, fd, f, cmd >>> 0, arg);
  fput(m, f);
  return ret;
}
