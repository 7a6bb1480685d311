// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { task_struct } from '../kernel/sched/core.ts';
import { EBADF, EINTR, EMFILE, ERESTARTSYS } from '../errno.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { O_CLOEXEC, file, files_struct, type file_operations, type inode } from './fs.ts';

/** RLIMIT_NOFILE's soft limit (include/uapi/linux/fs.h: INR_OPEN_CUR) */
const INR_OPEN_CUR = 1024;

/** An open file with one reference; it holds the inode (fs/file_table.c: alloc_file()). */
export function alloc_file(_m: Machine, node: inode, path: string, flags: number, f_op: file_operations): file {
  node.i_count++;
  return new file(f_op, node, flags, path);
}

/** Takes another reference (include/linux/fs.h: get_file()). */
export function get_file(f: file): file {
  f.f_count++;
  return f;
}

/** The current task's file behind a descriptor, with a reference, or null (fs/file.c: fget()). */
export function fget(m: Machine, fd: number): file | null {
  const f = m.current.files?.fd[fd] ?? null;
  return f === null ? null : get_file(f);
}

/** Drops a reference on an inode; the last one evicts it (fs/inode.c: iput()). */
export function* iput(m: Machine, node: inode): Gen<void> {
  BUG_ON(node.i_count <= 0, 'fs/inode.c: iput() of an inode without references');
  node.i_count--;
  if (node.i_count === 0 && node.i_nlink === 0 && node.evict_inode !== null) yield* node.evict_inode(m, node);
}

function* __fput(m: Machine, f: file): Gen<void> {
  if (f.f_op.release !== undefined) yield* f.f_op.release(m, f.f_inode, f);
  yield* iput(m, f.f_inode);
}

/**
 * Drops a reference; the last one closes the file, but only when the current task leaves the kernel, so that this may be
 * called under any lock (fs/file_table.c: fput()).
 */
export function fput(m: Machine, f: file): void {
  BUG_ON(f.f_count <= 0, 'fs/file_table.c: fput() of a file without references');
  f.f_count--;
  if (f.f_count === 0) m.current.task_works.push(() => __fput(m, f));
}

/** As fput(), but closes the file at once; for close(2), which holds no lock (fs/file_table.c: fput_close_sync()). */
export function* fput_close_sync(m: Machine, f: file): Gen<void> {
  BUG_ON(f.f_count <= 0, 'fs/file_table.c: fput_close_sync() of a file without references');
  f.f_count--;
  if (f.f_count === 0) yield* __fput(m, f);
}

/** Runs what was put off until the task holds no lock: at the end of each system call and in exit (kernel/task_work.c: task_work_run()). */
export function* task_work_run(m: Machine): Gen<void> {
  const works = m.current.task_works;
  for (let work = works.shift(); work !== undefined; work = works.shift()) yield* work();
}

function current_files(m: Machine): files_struct {
  const files = m.current.files;
  BUG_ON(files === null, 'fs/file.c: a task without files');
  return files as files_struct;
}

/** Reserves the lowest free descriptor number, or -EMFILE; of flags only O_CLOEXEC counts (fs/file.c: get_unused_fd_flags()). */
export function get_unused_fd_flags(m: Machine, flags: number): number {
  const files = current_files(m);
  let fd = 0;
  while (files.open_fds.has(fd)) fd++;
  if (fd >= INR_OPEN_CUR) return -EMFILE;
  files.open_fds.add(fd);
  while (files.fd.length <= fd) files.fd.push(null);
  if (flags & O_CLOEXEC) files.close_on_exec.add(fd);
  else files.close_on_exec.delete(fd);
  return fd;
}

/** Gives a reserved number back (fs/file.c: put_unused_fd()). */
export function put_unused_fd(m: Machine, fd: number): void {
  current_files(m).open_fds.delete(fd);
}

/** Puts the file behind a reserved number; the table takes over the caller's reference (fs/file.c: fd_install()). */
export function fd_install(m: Machine, fd: number, f: file): void {
  const files = current_files(m);
  BUG_ON(files.fd[fd] !== null, 'fs/file.c: fd_install() over an open file');
  files.fd[fd] = f;
}

/** A copy of a descriptor table for a new process, sharing the open files (fs/file.c: dup_fd()). */
export function dup_fd(_m: Machine, oldf: files_struct): files_struct {
  const newf = new files_struct();
  for (const f of oldf.fd) newf.fd.push(f === null ? null : get_file(f));
  oldf.fd.forEach((f, fd) => {
    if (f === null) return;
    newf.open_fds.add(fd);
    if (oldf.close_on_exec.has(fd)) newf.close_on_exec.add(fd);
  });
  return newf;
}

/** Drops a task's hold on a table; the last one closes every file in it, in order (fs/file.c: put_files_struct()). */
export function put_files_struct(m: Machine, files: files_struct): void {
  files.count--;
  if (files.count > 0) return;
  for (let fd = 0; fd < files.fd.length; fd++) {
    const f = files.fd[fd];
    if (f === null || f === undefined) continue;
    files.fd[fd] = null;
    fput(m, f);
  }
  files.open_fds.clear();
}

/** Takes the table from a task that exits; the files close in task_work_run() (fs/file.c: exit_files()). */
export function exit_files(m: Machine, tsk: task_struct): void {
  const files = tsk.files;
  if (files === null) return;
  tsk.files = null;
  put_files_struct(m, files);
}

function file_close_fd(m: Machine, fd: number): file | null {
  const files = current_files(m);
  const f = files.fd[fd] ?? null;
  if (f === null) return null;
  files.fd[fd] = null;
  files.open_fds.delete(fd);
  return f;
}

/** Closes a descriptor from kernel code: 0 or -EBADF; the file goes when the task leaves the kernel (fs/file.c: close_fd()). */
export function close_fd(m: Machine, fd: number): number {
  const f = file_close_fd(m, fd);
  if (f === null) return -EBADF;
  fput(m, f);
  return 0;
}

/** close(2): 0 or -EBADF (fs/open.c: SYSCALL_DEFINE1(close)). */
export function* ksys_close(m: Machine, fd: number): Gen<number> {
  const f = file_close_fd(m, fd);
  if (f === null) return -EBADF;
  yield* fput_close_sync(m, f);
  return 0;
}

/** What user space is told for an error that only the kernel knows. NON-KERNEL (arch/x86/kernel/signal.c: handle_signal()). */
export function eintr(ret: number): number {
  return ret === -ERESTARTSYS ? -EINTR : ret;
}
