// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import {
  EACCES,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  EISDIR,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EOPNOTSUPP,
  EROFS,
  ESRCH,
} from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { find_task_by_vpid } from '../kernel/pid.ts';
import type { task_struct } from '../kernel/sched/core.ts';
import { VM_NORESERVE } from '../mm/mm_types.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { shmem_file_operations, shmem_kernel_write, shmem_new_inode, shmem_tmpfile } from '../mm/shmem.ts';
import { strncpy_from_user } from '../strncpy_from_user.ts';
import { linux_may_have } from './linux_files.ts';
import { Unmodelled } from '../unmodelled.ts';
import { chrdev_open, chrdev_state } from './char_dev.ts';
import { alloc_file } from './file_table.ts';
import {
  type file,
  type file_operations,
  FMODE_LSEEK,
  FMODE_PREAD,
  FMODE_PWRITE,
  FMODE_READ,
  FMODE_WRITE,
  type inode,
  O_ACCMODE,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_TMPFILE,
  O_TRUNC,
  S_IFCHR,
  S_IFDIR,
  S_IFREG,
} from './fs.ts';
import { iput, new_inode } from './inode.ts';

/** Generates and parses the text of a /proc or /sys file. NON-KERNEL. */
interface text_handler {
  /** returns the text or -errno */
  show?: (m: Machine) => string | number | Gen<string>;
  /** returns -errno, or 0 or more if it accepts the text */
  store?: (m: Machine, buf: string) => number | Gen<number>;
}

/** A file of /proc/PID; `task` is the thread of the path. NON-KERNEL. */
export interface proc_pid_entry {
  show?: (m: Machine, task: task_struct) => string | Gen<string>;
  fops?: file_operations;
}

type vnode =
  | { kind: 'text'; mode: number; handler: text_handler; node: inode }
  | { kind: 'file'; mode: number; fops: file_operations; node: inode }
  | { kind: 'chr'; node: inode }
  | { kind: 'reg'; node: inode; read_only?: boolean };

/**
 * The files that the machine's root file system has from the start, such as libraries: read-only, links resolved, read
 * when they are opened. NON-KERNEL.
 */
export interface root_files {
  /** Returns the file's permission bits and bytes, what a directory holds, or null if there is nothing at the path. */
  lookup(path: string): { mode: number; read: () => Uint8Array } | { entries: readonly string[] } | null;
}

/** All paths. A directory exists if a path below it does. NON-KERNEL. */
export class vfs_state {
  readonly m: Machine;
  readonly nodes = new Map<string, vnode>();
  readonly proc_pid = new Map<string, proc_pid_entry>();
  readonly chrdev = new chrdev_state();
  root: root_files | null = null;
  next_ino = 1;
  constructor(m: Machine) {
    this.m = m;
  }
}

/** The default mask of new files' permissions. */
const UMASK = 0o022;

export const DT_UNKNOWN = 0;
export const DT_DIR = 4;
export const DT_CHR = 2;
export const DT_REG = 8;

/** directories that exist even if they are empty */
export const DIRECTORIES = ['/', '/dev', '/tmp', '/proc', '/sys', '/sys/kernel', '/sys/kernel/debug', '/sys/kernel/mm'];

/** Returns an inode of a regular file with permission bits. NON-KERNEL. */
function regular_inode(m: Machine, mode: number): inode {
  const node = new_inode(m);
  node.i_mode = S_IFREG | mode;
  return node;
}

/**
 * Creates a text file at an absolute path; mode is its permission bits. NON-KERNEL (fs/proc/generic.c: proc_create(),
 * include/linux/sysfs.h: sysfs_create_file()).
 */
export function vfs_register_text(m: Machine, path: string, mode: number, handler: text_handler): void {
  m.vfs.nodes.set(path, { kind: 'text', mode, handler, node: regular_inode(m, mode) });
}

/** Creates a file with its own operations at an absolute path. NON-KERNEL. */
export function vfs_register_file(m: Machine, path: string, mode: number, fops: file_operations): void {
  m.vfs.nodes.set(path, { kind: 'file', mode, fops, node: regular_inode(m, mode) });
}

/** Removes a path; open files stay. NON-KERNEL. */
export function vfs_unregister(m: Machine, path: string): void {
  m.vfs.nodes.delete(path);
}

/** Creates /dev/NAME (drivers/base/devtmpfs.c: devtmpfs_create_node()). */
export function devtmpfs_create_node(m: Machine, name: string, dev: number): void {
  const node = new_inode(m);
  node.i_rdev = dev;
  node.i_mode = S_IFCHR | 0o600;
  m.vfs.nodes.set(`/dev/${name}`, { kind: 'chr', node });
}

/** Removes /dev/NAME (drivers/base/devtmpfs.c: devtmpfs_delete_node()). */
export function devtmpfs_delete_node(m: Machine, name: string): void {
  m.vfs.nodes.delete(`/dev/${name}`);
}

/**
 * Clears the directory tree to a tmpfs on /tmp and an empty debugfs, before anything registers files (fs/dcache.c:
 * vfs_caches_init()).
 */
export function vfs_init(m: Machine): void {
  m.vfs.nodes.clear();
  m.vfs.proc_pid.clear();
}

/** Returns an absolute path without `.`, `..` and empty components. NON-KERNEL. */
export function normalize(path: string): string {
  const parts: string[] = [];
  for (const p of path.split('/')) {
    if (p === '' || p === '.') continue;
    if (p === '..') parts.pop();
    else parts.push(p);
  }
  return `/${parts.join('/')}`;
}

/** Returns the absolute path of one that is relative to the current directory. NON-KERNEL. */
export function absolute_path(m: Machine, name: string): string {
  return normalize(name.startsWith('/') ? name : `${m.current.pwd}/${name}`);
}

/** Bytes of a path, its NUL included (include/uapi/linux/limits.h: PATH_MAX). */
export const PATH_MAX = 4096;
/** Stands for the current directory (include/uapi/linux/fcntl.h). */
export const AT_FDCWD = -100;

/** Reads a path of user memory. Returns it or -errno NON-KERNEL (fs/namei.c: getname_flags()). */
export function* getname(m: Machine, filename: number, empty: boolean): Gen<string | number> {
  const path = yield* strncpy_from_user(m, filename, PATH_MAX);
  if (typeof path === 'number') return -EFAULT;
  if (path.length >= PATH_MAX) return -ENAMETOOLONG;
  return path === '' && !empty ? -ENOENT : path;
}

/** Returns the absolute path of a name relative to an open directory, or -EBADF. NON-KERNEL (path_init()). */
export function path_at(m: Machine, dfd: number, name: string): string | number {
  if (name.startsWith('/') || dfd === AT_FDCWD) return absolute_path(m, name);
  const f = m.current.files?.fd[dfd] ?? null;
  if (f === null) return -EBADF;
  return normalize(`${f.path}/${name}`);
}

/** Mounted over the root file system. */
const MOUNTS = /^\/(dev|proc|sys|tmp)(\/|$)/;

/** Puts a read-only file into the directory tree, with its bytes in the page cache. NON-KERNEL. */
export function* add_root_file(m: Machine, path: string, mode: number, bytes: Uint8Array): Gen<void> {
  const node = shmem_new_inode(m, VM_NORESERVE);
  node.i_nlink = 1;
  node.i_mode = S_IFREG | mode;
  if ((yield* shmem_kernel_write(m, node, bytes)) !== 0) throw new RangeError(`no memory for ${path}`);
  m.vfs.nodes.set(path, { kind: 'reg', node, read_only: true });
}

/** Looks a path up in the root file system; true if it is a file, which is then in m.vfs.nodes. NON-KERNEL. */
function* find_root_file(m: Machine, path: string): Gen<boolean> {
  const { root } = m.vfs;
  if (root === null || MOUNTS.test(path)) return false;
  const found = root.lookup(path);
  if (found === null || 'entries' in found) return false;
  yield* add_root_file(m, path, found.mode, found.read());
  return true;
}

/** Returns true if the path is a directory. NON-KERNEL. */
export function is_directory(m: Machine, path: string): boolean {
  if (DIRECTORIES.includes(path)) return true;
  const found = MOUNTS.test(path) ? null : (m.vfs.root?.lookup(path) ?? null);
  if (found !== null && 'entries' in found) return true;
  const prefix = `${path}/`;
  for (const p of m.vfs.nodes.keys()) if (p.startsWith(prefix)) return true;
  const pid = /^\/proc\/(self|\d+)$/.exec(path);
  return pid !== null && find_proc_task(m, pid[1]) !== null;
}

/** Returns the process of a /proc/PID component, or null (fs/proc/base.c: proc_pid_lookup()). */
function find_proc_task(m: Machine, name: string): task_struct | null {
  return find_task_by_vpid(m, name === 'self' ? m.current.tgid : Number(name));
}

/** State of an open text file. NON-KERNEL. */
interface text_file {
  handler: text_handler;
  text: Uint8Array | null;
}

/** Returns true for a generator. NON-KERNEL. */
function is_gen<T>(x: T | Gen<T>): x is Gen<T> {
  return typeof x === 'object' && x !== null && 'next' in x;
}

const encoder = new TextEncoder();

/**
 * Operations of a text file in /proc, /sys or debugfs (fs/seq_file.c: seq_read(), fs/kernfs/file.c:
 * kernfs_fop_write_iter()).
 */
function text_fops(path: string): file_operations {
  const proc = path.startsWith('/proc/');
  const limit = path.startsWith('/sys/') ? PAGE_SIZE : Number.MAX_SAFE_INTEGER;
  return {
    *read(m, f, buf, count, pos): Gen<number> {
      const t = f.private_data as text_file;
      if (t.handler.show === undefined) return -EIO;
      if (t.text === null || pos === 0) {
        const s = t.handler.show(m);
        if (typeof s === 'number') return s;
        t.text = encoder.encode(is_gen(s) ? yield* s : s);
      }
      const n = Math.min(count, t.text.length - pos);
      if (n <= 0) return 0;
      const left = yield* copy_to_user(m, buf, t.text.subarray(pos, pos + n), n);
      return left === n ? -EFAULT : n - left;
    },
    *write(m, f, buf, count): Gen<number> {
      const t = f.private_data as text_file;
      if (t.handler.store === undefined) return proc ? -EIO : -EINVAL;
      const n = Math.min(count, limit);
      const bytes = new Uint8Array(n);
      if ((yield* copy_from_user(m, bytes, buf, n)) !== 0) return -EFAULT;
      const r = t.handler.store(m, String.fromCharCode(...bytes));
      const ret = is_gen(r) ? yield* r : r;
      return ret < 0 ? ret : n;
    },
  };
}

/** Operations of an open directory; do_scandir() reads its entries. NON-KERNEL. */
export const directory_fops: file_operations = {
  *read(): Gen<number> {
    return -EISDIR;
  },
};

/** Opens a directory. NON-KERNEL. */
function open_directory(m: Machine, path: string, flags: number): file {
  const node = new_inode(m);
  node.i_mode = S_IFDIR | 0o755;
  const f = alloc_file(m, node, path, flags, directory_fops);
  f.f_mode |= FMODE_LSEEK;
  node.i_count--;
  return f;
}

/** Returns the inode of a path for stat(2), or -errno. NON-KERNEL (fs/namei.c: filename_lookup()). */
export function* find_inode(m: Machine, path: string): Gen<inode | number> {
  if (!m.vfs.nodes.has(path)) yield* find_root_file(m, path);
  const v = m.vfs.nodes.get(path);
  if (v !== undefined) return v.node;
  const node = new_inode(m);
  if (is_directory(m, path)) {
    node.i_mode = S_IFDIR | 0o755;
    return node;
  }
  const hit = /^\/proc\/(self|\d+)\/(.+)$/.exec(path);
  if (hit === null && linux_may_have(path)) throw new Unmodelled(`fs/namei.c: ${path}`);
  if (hit === null || find_proc_task(m, hit[1]) === null) return -ENOENT;
  if (!m.vfs.proc_pid.has(hit[2])) throw new Unmodelled(`fs/proc/base.c: ${path}`);
  node.i_mode = S_IFREG | 0o444;
  return node;
}

/** Opens a file with the given operations. NON-KERNEL: upstream's do_dentry_open() reads them from the inode. */
function* open_plain(m: Machine, node: inode, path: string, flags: number, fops: file_operations): Gen<file | number> {
  const f = alloc_file(m, node, path, flags, fops);
  f.f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
  const ret = fops.open === undefined ? 0 : yield* fops.open(m, node, f);
  if (ret === 0) return f;
  yield* iput(m, node);
  return ret;
}

/** Opens a text file; sysfs checks its mode even for root (fs/kernfs/file.c: kernfs_fop_open()). */
function open_text(
  m: Machine,
  path: string,
  flags: number,
  mode: number,
  handler: text_handler,
  node: inode,
): file | number {
  const f = alloc_file(m, node, path, flags, text_fops(path));
  if (path.startsWith('/sys/') && !path.startsWith('/sys/kernel/debug/')) {
    if (
      (f.f_mode & FMODE_WRITE && ((mode & 0o222) === 0 || handler.store === undefined)) ||
      (f.f_mode & FMODE_READ && ((mode & 0o444) === 0 || handler.show === undefined))
    ) {
      node.i_count--;
      return -EACCES;
    }
  }
  f.f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
  f.private_data = { handler, text: null } satisfies text_file;
  return f;
}

/**
 * Opens a file of /proc/PID. Returns it, -errno, or null for another path (fs/proc/base.c: proc_tgid_base_lookup()).
 */
function* open_proc_pid(m: Machine, path: string, flags: number): Gen<file | number | null> {
  const hit = /^\/proc\/(self|\d+)\/(.+)$/.exec(path);
  if (hit === null) return null;
  const task = find_proc_task(m, hit[1]);
  if (task === null) return -ENOENT;
  const entry = m.vfs.proc_pid.get(hit[2]);
  if (entry === undefined) throw new Unmodelled(`fs/proc/base.c: ${path}`);
  const node = new_inode(m);
  node.i_private = task;
  if (entry.fops !== undefined) return yield* open_plain(m, node, path, flags, entry.fops);
  const show = entry.show;
  const handler: text_handler =
    show === undefined ? {} : { show: (mm) => (task.exit_state === 'dead' ? -ESRCH : show(mm, task)) };
  return open_text(m, path, flags, 0o444, handler, node);
}

/** Returns where /proc/PID/exe leads, or the path itself. NON-KERNEL (fs/proc/base.c: proc_exe_link()). */
function follow_exe(m: Machine, path: string): string {
  const hit = /^\/proc\/(self|\d+)\/exe$/.exec(path);
  const task = hit === null ? null : find_proc_task(m, hit[1]);
  return task?.mm?.exe_file?.path ?? path;
}

/**
 * Opens a path. Returns a file with one reference or -errno (fs/namei.c: path_openat()). Leaves out permissions, links
 * and mounts.
 */
export function* path_openat(m: Machine, name: string, flags: number, mode: number): Gen<file | number> {
  if (name === '') return -ENOENT;
  const path = follow_exe(m, normalize(name));
  const writes = (flags & O_ACCMODE) !== 0;
  if ((flags & O_TMPFILE & ~O_DIRECTORY) !== 0) {
    if ((flags & O_TMPFILE) !== O_TMPFILE || !writes) return -EINVAL;
    if (!is_directory(m, path)) return m.vfs.nodes.has(path) ? -ENOTDIR : -ENOENT;
    if (path === '/tmp' || path.startsWith('/tmp/')) return shmem_tmpfile(m, path, flags, mode);
    if (path === '/dev') throw new Unmodelled('mm/shmem.c: shmem_tmpfile() in /dev');
    if (path === '/') throw new Unmodelled('fs/namei.c: vfs_tmpfile() on the root file system');
    return -EOPNOTSUPP;
  }
  let v = m.vfs.nodes.get(path);
  if (v === undefined && (yield* find_root_file(m, path))) v = m.vfs.nodes.get(path);
  if (v === undefined) {
    const proc = yield* open_proc_pid(m, path, flags);
    if (proc !== null) return proc;
    if (is_directory(m, path)) {
      if (writes || flags & O_CREAT) return -EISDIR;
      return open_directory(m, path, flags);
    }
    if (linux_may_have(path)) throw new Unmodelled(`fs/namei.c: ${path}`);
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    if (!is_directory(m, parent)) return m.vfs.nodes.has(parent) ? -ENOTDIR : -ENOENT;
    if (!(flags & O_CREAT)) return -ENOENT;
    if (!path.startsWith('/tmp/')) {
      if (path.startsWith('/proc/')) return -ENOENT;
      if (path.startsWith('/sys/')) return -EACCES;
      throw new Unmodelled(`fs/namei.c: lookup_open() of ${path}`);
    }
    const node = shmem_new_inode(m, VM_NORESERVE);
    node.i_nlink = 1;
    node.i_mode = S_IFREG | (mode & 0o7777 & ~UMASK);
    m.vfs.nodes.set(path, { kind: 'reg', node });
    const f = yield* open_plain(m, node, path, flags, shmem_file_operations);
    yield* iput(m, node);
    return f;
  }
  if ((flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) return -EEXIST;
  if (flags & O_DIRECTORY) return -ENOTDIR;
  switch (v.kind) {
    case 'chr':
      return yield* chrdev_open(m, v.node, path, flags);
    case 'text':
      return open_text(m, path, flags, v.mode, v.handler, v.node);
    case 'file':
      if (writes && (v.mode & 0o222) === 0 && path.startsWith('/sys/')) return -EROFS;
      return yield* open_plain(m, v.node, path, flags, v.fops);
    case 'reg': {
      if (writes && v.read_only === true) return -EROFS;
      const f = yield* open_plain(m, v.node, path, flags, shmem_file_operations);
      if (typeof f !== 'number' && flags & O_TRUNC && writes && f.f_op.setattr_size !== undefined)
        yield* f.f_op.setattr_size(m, f, 0);
      return f;
    }
  }
}

/** The unlink system call for a file in /tmp. Returns 0 or -errno (fs/namei.c: filename_unlinkat()). */
export function* do_unlink(m: Machine, name: string): Gen<number> {
  const path = normalize(name);
  const v = m.vfs.nodes.get(path);
  if (v === undefined) return is_directory(m, path) ? -EISDIR : -ENOENT;
  if (v.kind !== 'reg') throw new Unmodelled(`fs/namei.c: vfs_unlink() of ${path}`);
  m.vfs.nodes.delete(path);
  v.node.i_nlink = 0;
  v.node.i_count++;
  yield* iput(m, v.node);
  return 0;
}

/** unlinkat(2) without AT_REMOVEDIR (fs/namei.c: unlinkat()). */
export function* sys_unlinkat(m: Machine, dfd: number, pathname: number, flag: number): Gen<number> {
  if (flag !== 0) throw new Unmodelled('fs/namei.c: filename_rmdir()');
  const name = yield* getname(m, pathname, false);
  if (typeof name === 'number') return name;
  const path = path_at(m, dfd, name);
  return typeof path === 'number' ? path : yield* do_unlink(m, path);
}

/** unlink(2) (fs/namei.c: unlink()). */
export function sys_unlink(m: Machine, pathname: number): Gen<number> {
  return sys_unlinkat(m, AT_FDCWD, pathname, 0);
}
