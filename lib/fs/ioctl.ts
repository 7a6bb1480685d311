// SPDX-License-Identifier: GPL-2.0-only
// The ioctls of any file. The caller is root.

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBADF, EFAULT, EINVAL, ENOIOCTLCMD, ENOTTY, EOPNOTSUPP } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { Unmodelled } from '../unmodelled.ts';
import { fget } from './file.ts';
import { fput } from './file_table.ts';
import { type file, O_NONBLOCK } from './fs.ts';
import { directory_fops } from './namei.ts';
import { inode_get_bytes } from './stat.ts';

const FASYNC = 0o20000;

// include/uapi/asm-generic/ioctls.h
const FIONREAD = 0x541b;
const FIONBIO = 0x5421;
const FIONCLEX = 0x5450;
const FIOCLEX = 0x5451;
const FIOASYNC = 0x5452;
const FIOQSIZE = 0x5460;

// include/uapi/linux/fs.h
const FIBMAP = 1;
const FIGETBSZ = 2;
const FIFREEZE = 0xc0045877;
const FITHAW = 0xc0045878;
const FICLONE = 0x40049409;
const FICLONERANGE = 0x4020940d;
const FIDEDUPERANGE = 0xc0189436;
const FS_IOC_FIEMAP = 0xc020660b;
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_IOC_GETFSUUID = 0x80111500;
const FS_IOC_GETFSSYSFSPATH = 0x80811501;

// include/linux/falloc.h
const FS_IOC_RESVSP = 0x40305828;
const FS_IOC_UNRESVSP = 0x40305829;
const FS_IOC_RESVSP64 = 0x4030582a;
const FS_IOC_UNRESVSP64 = 0x4030582b;
const FS_IOC_ZERO_RANGE = 0x40305839;

type file_system = 'tmpfs' | 'devtmpfs' | 'proc' | 'sysfs' | 'debugfs' | 'anon_inodefs' | 'root';

/** mount points, nested ones first */
const mounts: [string, file_system][] = [
  ['/tmp', 'tmpfs'],
  ['/dev', 'devtmpfs'],
  ['/proc', 'proc'],
  ['/sys/kernel/debug', 'debugfs'],
  ['/sys', 'sysfs'],
];

/** Returns the file system of a file by its path. NON-KERNEL. */
function file_system_of(f: file): file_system {
  const { path } = f;
  if (path.startsWith('anon_inode:')) return 'anon_inodefs';
  return mounts.find(([dir]) => path === dir || path.startsWith(`${dir}/`))?.[1] ?? 'root';
}

/** Returns true for an open directory. NON-KERNEL (upstream: S_ISDIR()). */
function is_directory(f: file): boolean {
  return f.f_op === directory_fops;
}

/** Returns true for a regular file, linked or not. NON-KERNEL (upstream: S_ISREG()). */
function is_regular(f: file): boolean {
  return f.f_inode.i_rdev === 0 && !is_directory(f) && file_system_of(f) !== 'anon_inodefs';
}

/** Returns the int at a user address, or null for a fault (arch/x86/include/asm/uaccess.h: get_user()). */
function* get_int(m: Machine, arg: number): Gen<number | null> {
  const bytes = new Uint8Array(4);
  if ((yield* copy_from_user(m, bytes, arg, 4)) !== 0) return null;
  return new DataView(bytes.buffer).getInt32(0, true);
}

/** Writes an int to a user address; returns 0 or -EFAULT (arch/x86/include/asm/uaccess.h: put_user()). */
function* put_int(m: Machine, value: number, arg: number): Gen<number> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return (yield* copy_to_user(m, arg, bytes, 4)) !== 0 ? -EFAULT : 0;
}

/** fs/ioctl.c: ioctl_fionbio() */
function* ioctl_fionbio(m: Machine, f: file, arg: number): Gen<number> {
  const on = yield* get_int(m, arg);
  if (on === null) return -EFAULT;
  if (on !== 0) f.f_flags |= O_NONBLOCK;
  else f.f_flags &= ~O_NONBLOCK;
  return 0;
}

/** Leaves out setting FASYNC: no modelled file has a fasync operation (fs/ioctl.c: ioctl_fioasync()). */
function* ioctl_fioasync(m: Machine, f: file, arg: number): Gen<number> {
  const on = yield* get_int(m, arg);
  if (on === null) return -EFAULT;
  return (on !== 0) !== ((f.f_flags & FASYNC) !== 0) ? -ENOTTY : 0;
}

/** Returns the size of the file: one page for a sysfs attribute (include/linux/fs.h: i_size_read()). */
function i_size_read(f: file): number {
  return file_system_of(f) === 'sysfs' ? PAGE_SIZE : f.f_inode.i_size;
}

/** Returns -EINVAL for every block: no modelled file system has bmap (fs/ioctl.c: ioctl_fibmap()). */
function* ioctl_fibmap(m: Machine, arg: number): Gen<number> {
  const block = yield* get_int(m, arg);
  if (block === null) return -EFAULT;
  if (block < 0) return -EINVAL;
  return (yield* put_int(m, 0, arg)) !== 0 ? -EFAULT : -EINVAL;
}

/**
 * The part of do_vfs_ioctl() that depends on the file system, and file_ioctl() (fs/ioctl.c: do_vfs_ioctl(), fs/ioctl.c:
 * file_ioctl()).
 */
function* ioctl_fs(m: Machine, f: file, cmd: number, arg: number): Gen<number> {
  const fs = file_system_of(f);
  if (fs === 'root') throw new Unmodelled('fs/ioctl.c: do_vfs_ioctl() on the root file system');
  const on_tmpfs = fs === 'tmpfs' || fs === 'devtmpfs';
  switch (cmd) {
    case FIOQSIZE: {
      if (!is_directory(f) && !is_regular(f)) return -ENOTTY;
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(inode_get_bytes(f)), true);
      return (yield* copy_to_user(m, arg, bytes, 8)) !== 0 ? -EFAULT : 0;
    }
    case FIFREEZE:
    case FS_IOC_FIEMAP:
      return -EOPNOTSUPP;
    case FITHAW:
      return -EINVAL;
    case FIGETBSZ:
      return yield* put_int(m, fs === 'proc' ? 1024 : PAGE_SIZE, arg);
    case FICLONE:
    case FICLONERANGE:
    case FIDEDUPERANGE:
      throw new Unmodelled('fs/ioctl.c: do_vfs_ioctl() with FICLONE, FICLONERANGE or FIDEDUPERANGE');
    case FIONREAD:
      if (!is_regular(f)) return -ENOIOCTLCMD;
      return yield* put_int(m, i_size_read(f) - f.f_pos, arg);
    case FS_IOC_GETFLAGS:
    case FS_IOC_SETFLAGS:
    case FS_IOC_FSGETXATTR:
      if (cmd === FS_IOC_SETFLAGS && (yield* get_int(m, arg)) === null) return -EFAULT;
      if (on_tmpfs && f.f_inode.i_rdev === 0) throw new Unmodelled('mm/shmem.c: shmem_fileattr_get()');
      return -ENOIOCTLCMD;
    case FS_IOC_FSSETXATTR:
      throw new Unmodelled('fs/ioctl.c: do_vfs_ioctl() with FS_IOC_FSSETXATTR');
    case FS_IOC_GETFSUUID:
      if (on_tmpfs || fs === 'sysfs')
        throw new Unmodelled('fs/ioctl.c: do_vfs_ioctl() with FS_IOC_GETFSUUID of a random UUID');
      return -ENOTTY;
    case FS_IOC_GETFSSYSFSPATH:
      return -ENOTTY;
  }
  if (!is_regular(f)) return -ENOIOCTLCMD;
  switch (cmd) {
    case FIBMAP:
      return yield* ioctl_fibmap(m, arg);
    case FS_IOC_RESVSP:
    case FS_IOC_RESVSP64:
    case FS_IOC_UNRESVSP:
    case FS_IOC_UNRESVSP64:
    case FS_IOC_ZERO_RANGE:
      throw new Unmodelled('fs/ioctl.c: file_ioctl() with a range to allocate');
  }
  return -ENOIOCTLCMD;
}

/**
 * Handles the ioctls of any file; returns -ENOIOCTLCMD for those of the driver. cmd has 32 bits (fs/ioctl.c:
 * do_vfs_ioctl()).
 */
function* do_vfs_ioctl(m: Machine, fd: number, f: file, cmd: number, arg: number): Gen<number> {
  switch (cmd) {
    case FIOCLEX:
      m.current.files?.close_on_exec.add(fd);
      return 0;
    case FIONCLEX:
      m.current.files?.close_on_exec.delete(fd);
      return 0;
    case FIONBIO:
      return yield* ioctl_fionbio(m, f, arg);
    case FIOASYNC:
      return yield* ioctl_fioasync(m, f, arg);
  }
  return yield* ioctl_fs(m, f, cmd, arg);
}

/** Calls do_vfs_ioctl(), then the driver (fs/ioctl.c: vfs_ioctl()). */
function* do_ioctl(m: Machine, fd: number, f: file, cmd: number, arg: number): Gen<number> {
  const error = yield* do_vfs_ioctl(m, fd, f, cmd, arg);
  if (error !== -ENOIOCTLCMD) return error;
  if (f.f_op.unlocked_ioctl === undefined) return -ENOTTY;
  const ret = yield* f.f_op.unlocked_ioctl(m, f, cmd, arg);
  return ret === -ENOIOCTLCMD ? -ENOTTY : ret;
}

/** The ioctl system call; cmd is truncated to 32 bits (fs/ioctl.c: ioctl()). */
export function* sys_ioctl(m: Machine, fd: number, cmd: number, arg: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* do_ioctl(m, fd, f, cmd >>> 0, arg);
  fput(m, f);
  return ret;
}
