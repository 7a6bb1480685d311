// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EINTR, ERESTARTSYS } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { file, type file_operations, type inode } from './fs.ts';
import { iput } from './inode.ts';

/** Returns an open file with one reference, which holds the inode (fs/file_table.c: alloc_file()). */
export function alloc_file(_m: Machine, node: inode, path: string, flags: number, f_op: file_operations): file {
  node.i_count++;
  return new file(f_op, node, flags, path);
}

/** Takes a reference (include/linux/fs.h: get_file()). */
export function get_file(f: file): file {
  f.f_count++;
  return f;
}

/** fs/file_table.c: __fput() */
function* __fput(m: Machine, f: file): Gen<void> {
  if (f.f_op.release !== undefined) yield* f.f_op.release(m, f.f_inode, f);
  yield* iput(m, f.f_inode);
}

/**
 * Drops a reference. The last one releases the file when the current task leaves the kernel, so this may be called
 * under any lock (fs/file_table.c: fput()).
 */
export function fput(m: Machine, f: file): void {
  BUG_ON(f.f_count <= 0, 'fs/file_table.c: fput() of a file without references');
  f.f_count--;
  if (f.f_count === 0) m.current.task_works.push(() => __fput(m, f));
}

/** fput() that releases the file at once, for close(), which holds no lock (fs/file_table.c: fput_close_sync()). */
export function* fput_close_sync(m: Machine, f: file): Gen<void> {
  BUG_ON(f.f_count <= 0, 'fs/file_table.c: fput_close_sync() of a file without references');
  f.f_count--;
  if (f.f_count === 0) yield* __fput(m, f);
}

/**
 * Returns the error that user space sees for one internal to the kernel. NON-KERNEL (arch/x86/kernel/signal.c:
 * handle_signal()).
 */
export function eintr(ret: number): number {
  return ret === -ERESTARTSYS ? -EINTR : ret;
}
