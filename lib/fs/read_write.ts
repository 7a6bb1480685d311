// SPDX-License-Identifier: GPL-2.0-only

import { access_ok, copy_from_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBADF, EFAULT, EINVAL, ENXIO, EOVERFLOW, ESPIPE } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { shmem_kernel_read, shmem_mapping } from '../mm/shmem.ts';
import { Unmodelled } from '../unmodelled.ts';
import { fget } from './file.ts';
import { fput } from './file_table.ts';
import { type file, FMODE_LSEEK, FMODE_PREAD, FMODE_PWRITE, FMODE_READ, FMODE_WRITE } from './fs.ts';

/** maximum bytes of a read or write (include/linux/fs.h: MAX_RW_COUNT) */
const MAX_RW_COUNT = 0x7ffff000;

/** fs/read_write.c: vfs_read() */
function* vfs_read(m: Machine, f: file, buf: number, count: number, pos: number): Gen<number> {
  if (!(f.f_mode & FMODE_READ)) return -EBADF;
  if (f.f_op.read === undefined) return -EINVAL;
  if (!access_ok(buf, count)) return -EFAULT;
  if (pos < 0) return -EINVAL;
  return yield* f.f_op.read(m, f, buf, Math.min(count, MAX_RW_COUNT), pos);
}

/** fs/read_write.c: vfs_write() */
function* vfs_write(m: Machine, f: file, buf: number, count: number, pos: number): Gen<number> {
  if (!(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_op.write === undefined) return -EINVAL;
  if (!access_ok(buf, count)) return -EFAULT;
  if (pos < 0) return -EINVAL;
  return yield* f.f_op.write(m, f, buf, Math.min(count, MAX_RW_COUNT), pos);
}

/**
 * Reads a file for the kernel. Returns the bytes, fewer at its end (fs/read_write.c: kernel_read()). Leaves out files
 * that are not in tmpfs: programs are in one.
 */
export function* kernel_read(m: Machine, f: file, pos: number, count: number): Gen<Uint8Array> {
  if (!shmem_mapping(f.f_mapping)) throw new Unmodelled(`fs/read_write.c: kernel_read() of ${f.path}`);
  return yield* shmem_kernel_read(m, f.f_inode, pos, count);
}

/** The read system call. Returns bytes or -errno (fs/read_write.c: ksys_read()). */
export function* ksys_read(m: Machine, fd: number, buf: number, count: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* vfs_read(m, f, buf, count, f.f_pos);
  if (ret > 0) f.f_pos += ret;
  fput(m, f);
  return ret;
}

/** The write system call. Returns bytes or -errno (fs/read_write.c: ksys_write()). */
export function* ksys_write(m: Machine, fd: number, buf: number, count: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* vfs_write(m, f, buf, count, f.f_pos);
  if (ret > 0) f.f_pos += ret;
  fput(m, f);
  return ret;
}

const IOVEC_BYTES = 16;
const UIO_MAXIOV = 1024;

/**
 * Reads or writes the buffers of a struct iovec array one by one. Returns bytes or -errno. NON-KERNEL
 * (fs/read_write.c: vfs_readv()).
 */
function* do_iov(
  m: Machine,
  fd: number,
  vec: number,
  vlen: number,
  one: (m: Machine, fd: number, buf: number, count: number) => Gen<number>,
): Gen<number> {
  if (vlen < 0 || vlen > UIO_MAXIOV) return -EINVAL;
  const bytes = new Uint8Array(vlen * IOVEC_BYTES);
  if ((yield* copy_from_user(m, bytes, vec, bytes.length)) !== 0) return -EFAULT;
  const v = new DataView(bytes.buffer);
  const word = (at: number): number => v.getUint32(at, true) + v.getUint32(at + 4, true) * 2 ** 32;
  let done = 0;
  for (let k = 0; k < vlen; k++) {
    const count = word(k * IOVEC_BYTES + 8);
    const ret = yield* one(m, fd, word(k * IOVEC_BYTES), count);
    if (ret < 0) return done > 0 ? done : ret;
    done += ret;
    if (ret < count) break;
  }
  return done;
}

/** readv(2) (fs/read_write.c: readv()). */
export function sys_readv(m: Machine, fd: number, vec: number, vlen: number): Gen<number> {
  return do_iov(m, fd, vec, vlen, ksys_read);
}

/** writev(2) (fs/read_write.c: writev()). */
export function sys_writev(m: Machine, fd: number, vec: number, vlen: number): Gen<number> {
  return do_iov(m, fd, vec, vlen, ksys_write);
}

/**
 * The pread64 system call. Returns bytes or -errno, -ESPIPE for a file without positions (fs/read_write.c:
 * ksys_pread64()).
 */
export function* ksys_pread64(m: Machine, fd: number, buf: number, count: number, pos: number): Gen<number> {
  if (pos < 0) return -EINVAL;
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = f.f_mode & FMODE_PREAD ? yield* vfs_read(m, f, buf, count, pos) : -ESPIPE;
  fput(m, f);
  return ret;
}

/**
 * The pwrite64 system call. Returns bytes or -errno, -ESPIPE for a file without positions (fs/read_write.c:
 * ksys_pwrite64()).
 */
export function* ksys_pwrite64(m: Machine, fd: number, buf: number, count: number, pos: number): Gen<number> {
  if (pos < 0) return -EINVAL;
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = f.f_mode & FMODE_PWRITE ? yield* vfs_write(m, f, buf, count, pos) : -ESPIPE;
  fput(m, f);
  return ret;
}

/**
 * The lseek system call with SEEK_SET, SEEK_CUR or SEEK_END. Returns the new position or -errno (fs/read_write.c:
 * ksys_lseek()).
 */
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
