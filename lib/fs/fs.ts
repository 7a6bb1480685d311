// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { rw_semaphore } from '../kernel/locking/rwsem.ts';
import type { wait_queue_head } from '../kernel/sched/wait.ts';
import type { mm_struct, vm_area_struct } from '../mm/mm_types.ts';
import type { vm_area_desc } from '../mm/vma/mmap_region.ts';
import type { cdev } from './char_dev.ts';

// include/uapi/linux/stat.h
export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFIFO = 0o010000;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECTORY = 0o200000;
export const O_CLOEXEC = 0o2000000;
export const O_TMPFILE = 0o20200000;

// file->f_mode (include/linux/fs.h: FMODE_*), the modelled bits.
export const FMODE_READ = 1 << 0;
export const FMODE_WRITE = 1 << 1;
export const FMODE_LSEEK = 1 << 2;
export const FMODE_PREAD = 1 << 3;
export const FMODE_PWRITE = 1 << 4;

/** The page cache and mappings of an inode (include/linux/fs.h: struct address_space). */
export class address_space {
  /** index in m.mappings; page->mapping holds it */
  readonly id: number;
  readonly host: inode;
  /** the page cache: folios by their first index */
  readonly i_pages = new Map<number, number>();
  nrpages = 0;
  /** vmas that map it, in the order of a walk */
  readonly i_mmap: vm_area_struct[] = [];
  /** number of shared writable mappings */
  i_mmap_writable = 0;
  readonly i_mmap_rwsem = new rw_semaphore('i_mmap_rwsem');
  readonly invalidate_lock = new rw_semaphore('invalidate_lock');
  /** file system, 'none' where nothing is cached */
  readonly kind: 'shmem' | 'hugetlbfs' | 'none';
  constructor(id: number, host: inode, kind: 'shmem' | 'hugetlbfs' | 'none') {
    this.id = id;
    this.host = host;
    this.kind = kind;
  }
}

/** A file's identity and size (include/linux/fs.h: struct inode). */
export class inode {
  readonly i_ino: number;
  /** S_IF* and permission bits */
  i_mode = 0o600;
  /** bytes */
  i_size = 0;
  /** major * 2^20 + minor of a device's inode */
  i_rdev = 0;
  i_nlink = 0;
  /** references of open files and mappings */
  i_count = 1;
  i_mapping: address_space | null = null;
  /** called when the last reference is dropped (struct super_operations: evict_inode) */
  evict_inode: ((m: Machine, inode: inode) => Gen<void>) | null = null;
  readonly i_rwsem = new rw_semaphore('i_rwsem');
  /** driver of a device's inode, set by the first open */
  i_cdev: cdev | null = null;
  /** owned by the file system */
  i_private: unknown = null;
  constructor(ino: number) {
    this.i_ino = ino;
  }
}

/** Operations of an open file; absent ones fail as upstream's do (include/linux/fs.h: struct file_operations). */
export interface file_operations {
  /** module that an open file pins */
  owner?: { refcount: number };
  open?: (m: Machine, inode: inode, f: file) => Gen<number>;
  release?: (m: Machine, inode: inode, f: file) => Gen<number>;
  /** buf is a user address; returns bytes or -errno */
  read?: (m: Machine, f: file, buf: number, count: number, pos: number) => Gen<number>;
  write?: (m: Machine, f: file, buf: number, count: number, pos: number) => Gen<number>;
  unlocked_ioctl?: (m: Machine, f: file, cmd: number, arg: number) => Gen<number>;
  mmap?: (m: Machine, f: file, vma: vm_area_struct) => Gen<number>;
  /** used instead of mmap: sets up the mapping before its vma exists */
  mmap_prepare?: (m: Machine, desc: vm_area_desc) => number;
  /** returns the current EPOLL* bits and where to wait for a change */
  poll?: (m: Machine, f: file) => { mask: number; wait: wait_queue_head };
  /** mode is FALLOC_FL_*, offset and len are bytes */
  fallocate?: (m: Machine, f: file, mode: number, offset: number, len: number) => Gen<number>;
  /** sets the size for ftruncate() (struct inode_operations: setattr) */
  setattr_size?: (m: Machine, f: file, length: number) => Gen<number>;
  get_unmapped_area?: (m: Machine, f: file | null, addr: number, len: number, pgoff: number, flags: number) => number;
}

/** An open file (include/linux/fs.h: struct file). */
export class file {
  readonly f_op: file_operations;
  readonly f_inode: inode;
  /** O_* */
  f_flags: number;
  /** FMODE_* */
  f_mode: number;
  f_pos = 0;
  f_count = 1;
  f_mapping: address_space | null;
  private_data: unknown = null;
  /** for messages and smaps */
  readonly path: string;
  constructor(f_op: file_operations, node: inode, flags: number, path: string) {
    this.f_op = f_op;
    this.f_inode = node;
    this.f_flags = flags;
    this.f_mode = (flags + 1) & O_ACCMODE;
    this.f_mapping = node.i_mapping;
    this.path = path;
  }
}

/** A process's descriptors (include/linux/fdtable.h: struct files_struct). */
export class files_struct {
  /** tasks that share it */
  count = 1;
  readonly fd: (file | null)[] = [];
  /** descriptors in use or reserved */
  readonly open_fds = new Set<number>();
  readonly close_on_exec = new Set<number>();
}

export type { mm_struct };
