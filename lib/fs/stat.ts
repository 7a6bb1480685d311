// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBADF, EFAULT, EINVAL, ENOENT } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { Unmodelled } from '../unmodelled.ts';
import { fget } from './file.ts';
import { fput } from './file_table.ts';
import { type file, type inode, S_IFDIR } from './fs.ts';
import { AT_FDCWD, find_inode, getname, path_at } from './namei.ts';

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
const STAT_BYTES = 144;
const BLOCK = PAGE_SIZE;

/** Writes struct stat of an inode. Returns 0 or -EFAULT (fs/stat.c: cp_new_stat()). Leaves out owner and times: zero. */
function* cp_new_stat(m: Machine, node: inode, statbuf: number): Gen<number> {
  const bytes = new Uint8Array(STAT_BYTES);
  const v = new DataView(bytes.buffer);
  v.setBigUint64(0, 1n, true);
  v.setBigUint64(8, BigInt(node.i_ino), true);
  v.setBigUint64(16, BigInt((node.i_mode & S_IFDIR) !== 0 ? 2 : node.i_nlink), true);
  v.setUint32(24, node.i_mode, true);
  const [major, minor] = [Math.floor(node.i_rdev / 2 ** 20), node.i_rdev % 2 ** 20];
  v.setBigUint64(40, BigInt((minor % 256) + major * 256 + (minor - (minor % 256)) * 2 ** 12), true);
  v.setBigInt64(48, BigInt(node.i_size), true);
  v.setBigInt64(56, BigInt(BLOCK), true);
  v.setBigInt64(64, BigInt((node.i_mapping?.nrpages ?? 0) * (BLOCK / 512)), true);
  return (yield* copy_to_user(m, statbuf, bytes, STAT_BYTES)) !== 0 ? -EFAULT : 0;
}

/** newfstatat(2) (fs/stat.c: newfstatat()). There are no links to follow or not. */
export function* sys_newfstatat(m: Machine, dfd: number, filename: number, statbuf: number, flag: number): Gen<number> {
  if (flag & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) return -EINVAL;
  const name = yield* getname(m, filename, (flag & AT_EMPTY_PATH) !== 0);
  if (typeof name === 'number') return name;
  if (name === '') return yield* sys_newfstat(m, dfd, statbuf);
  const path = path_at(m, dfd, name);
  if (typeof path === 'number') return path;
  const node = yield* find_inode(m, path);
  return typeof node === 'number' ? node : yield* cp_new_stat(m, node, statbuf);
}

/** stat(2) and lstat(2) (fs/stat.c: newstat()). */
export function sys_newstat(m: Machine, filename: number, statbuf: number): Gen<number> {
  return sys_newfstatat(m, AT_FDCWD, filename, statbuf, 0);
}

/** fstat(2) (fs/stat.c: newfstat()). */
export function* sys_newfstat(m: Machine, fd: number, statbuf: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const ret = yield* cp_new_stat(m, f.f_inode, statbuf);
  fput(m, f);
  return ret;
}

/** readlinkat(2) (fs/stat.c: readlinkat()). The only link is /proc/PID/exe. */
export function* sys_readlinkat(m: Machine, dfd: number, pathname: number, buf: number, size: number): Gen<number> {
  if (size <= 0) return -EINVAL;
  const name = yield* getname(m, pathname, false);
  if (typeof name === 'number') return name;
  const path = path_at(m, dfd, name);
  if (typeof path === 'number') return path;
  if (path === '/proc/self/exe' || path === `/proc/${m.current.tgid}/exe`) {
    const f = m.current.mm?.exe_file ?? null;
    if (f === null) return -ENOENT;
    const bytes = new TextEncoder().encode(f.path).subarray(0, size);
    return (yield* copy_to_user(m, buf, bytes, bytes.length)) !== 0 ? -EFAULT : bytes.length;
  }
  if (path.startsWith('/proc/')) throw new Unmodelled(`fs/proc/base.c: proc_pid_readlink() of ${path}`);
  const node = yield* find_inode(m, path);
  return typeof node === 'number' ? node : -EINVAL;
}

/** readlink(2) (fs/stat.c: readlink()). */
export function sys_readlink(m: Machine, path: number, buf: number, size: number): Gen<number> {
  return sys_readlinkat(m, AT_FDCWD, path, buf, size);
}

/** Returns the bytes allocated to the file, which only tmpfs counts (fs/stat.c: inode_get_bytes()). */
export function inode_get_bytes(f: file): number {
  return (f.f_inode.i_mapping?.nrpages ?? 0) * PAGE_SIZE;
}
