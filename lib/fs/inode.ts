// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { inode } from './fs.ts';

/** Drops a reference to an inode; the last one evicts it (fs/inode.c: iput()). */
export function* iput(m: Machine, node: inode): Gen<void> {
  BUG_ON(node.i_count <= 0, 'fs/inode.c: iput() of an inode without references');
  node.i_count--;
  if (node.i_count === 0 && node.i_nlink === 0 && node.evict_inode !== null) yield* node.evict_inode(m, node);
}

/** Returns a new inode with one reference (fs/inode.c: new_inode()). */
export function new_inode(m: Machine): inode {
  return new inode(m.vfs.next_ino++);
}
