// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EBADF, EINVAL, EMFILE } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { BUG_ON } from '../kernel/printk.ts';
import type { task_struct } from '../kernel/sched/core.ts';
import { fput, fput_close_sync, get_file } from './file_table.ts';
import { type file, files_struct, O_CLOEXEC } from './fs.ts';

/** soft limit of RLIMIT_NOFILE (include/uapi/linux/fs.h: INR_OPEN_CUR) */
const INR_OPEN_CUR = 1024;

/** Returns the current task's file of a descriptor, with a reference, or null (fs/file.c: fget()). */
export function fget(m: Machine, fd: number): file | null {
  const f = m.current.files?.fd[fd] ?? null;
  return f === null ? null : get_file(f);
}

/** Returns the current task's descriptor table, which must exist. NON-KERNEL. */
function current_files(m: Machine): files_struct {
  const files = m.current.files;
  BUG_ON(files === null, 'fs/file.c: a task without files');
  return files as files_struct;
}

/**
 * Reserves the lowest free descriptor from a number on. Returns it or -EMFILE (fs/file.c: alloc_fd()).
 */
export function get_unused_fd_from(m: Machine, start: number, flags: number): number {
  const files = current_files(m);
  let fd = start;
  while (files.open_fds.has(fd)) fd++;
  if (fd >= INR_OPEN_CUR) return -EMFILE;
  files.open_fds.add(fd);
  while (files.fd.length <= fd) files.fd.push(null);
  if (flags & O_CLOEXEC) files.close_on_exec.add(fd);
  else files.close_on_exec.delete(fd);
  return fd;
}

/**
 * Reserves the lowest free descriptor. Returns it or -EMFILE; of flags only O_CLOEXEC has an effect (fs/file.c:
 * get_unused_fd_flags()).
 */
export function get_unused_fd_flags(m: Machine, flags: number): number {
  return get_unused_fd_from(m, 0, flags);
}

/** Releases a reserved descriptor (fs/file.c: put_unused_fd()). */
export function put_unused_fd(m: Machine, fd: number): void {
  current_files(m).open_fds.delete(fd);
}

/** Installs the file at a reserved descriptor and takes over the caller's reference (fs/file.c: fd_install()). */
export function fd_install(m: Machine, fd: number, f: file): void {
  const files = current_files(m);
  BUG_ON(files.fd[fd] !== null, 'fs/file.c: fd_install() over an open file');
  files.fd[fd] = f;
}

/** Returns a copy of a descriptor table that shares the open files (fs/file.c: dup_fd()). */
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

/** Drops a task's reference to a table; the last one closes its files in order (fs/file.c: put_files_struct()). */
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

/** Detaches the table of an exiting task; the files close in task_work_run() (fs/file.c: exit_files()). */
export function exit_files(m: Machine, tsk: task_struct): void {
  const files = tsk.files;
  if (files === null) return;
  tsk.files = null;
  put_files_struct(m, files);
}

/**
 * Makes newfd another descriptor of oldfd's file, whatever newfd was. Returns newfd or -errno (fs/file.c: ksys_dup3()).
 */
export function* ksys_dup3(m: Machine, oldfd: number, newfd: number, flags: number): Gen<number> {
  if (flags & ~O_CLOEXEC || oldfd === newfd) return -EINVAL;
  if (newfd < 0 || newfd >= INR_OPEN_CUR) return -EBADF;
  const f = fget(m, oldfd);
  if (f === null) return -EBADF;
  const old = file_close_fd(m, newfd);
  fd_install(m, get_unused_fd_from(m, newfd, flags), f);
  if (old !== null) yield* fput_close_sync(m, old);
  return newfd;
}

/** dup2(2) (fs/file.c: dup2()). */
export function* sys_dup2(m: Machine, oldfd: number, newfd: number): Gen<number> {
  if (oldfd !== newfd) return yield* ksys_dup3(m, oldfd, newfd, 0);
  return (m.current.files?.fd[oldfd] ?? null) === null ? -EBADF : oldfd;
}

/** dup(2) (fs/file.c: dup()). */
export function sys_dup(m: Machine, fildes: number): number {
  const f = fget(m, fildes);
  if (f === null) return -EBADF;
  const fd = get_unused_fd_flags(m, 0);
  if (fd >= 0) fd_install(m, fd, f);
  else fput(m, f);
  return fd;
}

/** Removes a descriptor from the current task's table. Returns its file, or null (fs/file.c: file_close_fd()). */
export function file_close_fd(m: Machine, fd: number): file | null {
  const files = current_files(m);
  const f = files.fd[fd] ?? null;
  if (f === null) return null;
  files.fd[fd] = null;
  files.open_fds.delete(fd);
  return f;
}

/**
 * Closes a descriptor from kernel code; the file is released when the task leaves the kernel. Returns 0 or -EBADF
 * (fs/file.c: close_fd()).
 */
export function close_fd(m: Machine, fd: number): number {
  const f = file_close_fd(m, fd);
  if (f === null) return -EBADF;
  fput(m, f);
  return 0;
}

/** Closes the descriptors with FD_CLOEXEC, of a table of its own (fs/file.c: do_close_on_exec()). */
export function* do_close_on_exec(m: Machine): Gen<void> {
  let files = current_files(m);
  if (files.count > 1) {
    m.current.files = dup_fd(m, files);
    put_files_struct(m, files);
    files = m.current.files;
  }
  for (const fd of [...files.close_on_exec]) {
    files.close_on_exec.delete(fd);
    const f = file_close_fd(m, fd);
    if (f !== null) yield* fput_close_sync(m, f);
  }
}
