// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import type { file_operations } from './fs.ts';
import { vfs_register_file, vfs_unregister } from './namei.ts';

const ROOT = '/sys/kernel/debug';

/**
 * Creates a file in debugfs below `parent`, an absolute path, or at its root. Returns the file's path
 * (include/linux/debugfs.h: debugfs_create_file()).
 */
export function debugfs_create_file(
  m: Machine,
  name: string,
  mode: number,
  parent: string | null,
  fops: file_operations,
): string {
  const path = `${parent ?? ROOT}/${name}`;
  vfs_register_file(m, path, mode, fops);
  return path;
}

/** Removes a file from debugfs (fs/debugfs/inode.c: debugfs_remove()). */
export function debugfs_remove(m: Machine, path: string): void {
  vfs_unregister(m, path);
}
