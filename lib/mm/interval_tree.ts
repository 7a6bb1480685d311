// SPDX-License-Identifier: GPL-2.0-only

import type { address_space } from '../fs/fs.ts';
import { BUG_ON } from '../kernel/printk.ts';
import type { anon_vma, anon_vma_chain, vm_area_struct } from './mm_types.ts';

// Upstream keeps augmented red-black trees, whose walks visit the nodes that overlap a range by start, and nodes of one
// start in the order in which they stand in the tree. Arrays in that order give the same walks.

/** Adds the vma behind those with the same start (mm/interval_tree.c: mapping_rmap_tree_insert()). */
export function mapping_rmap_tree_insert(vma: vm_area_struct, mapping: address_space): void {
  const tree = mapping.i_mmap;
  let i = tree.length;
  while (i > 0 && tree[i - 1].vm_pgoff > vma.vm_pgoff) i--;
  tree.splice(i, 0, vma);
}

/** Adds the vma right behind `prev`, which has its start (mm/interval_tree.c: mapping_rmap_tree_insert_after()). */
export function mapping_rmap_tree_insert_after(
  vma: vm_area_struct,
  prev: vm_area_struct,
  mapping: address_space,
): void {
  const i = mapping.i_mmap.indexOf(prev);
  BUG_ON(i < 0, 'mm/interval_tree.c: mapping_rmap_tree_insert_after() an absent vma');
  mapping.i_mmap.splice(i + 1, 0, vma);
}

/** mm/interval_tree.c: mapping_rmap_tree_remove() */
export function mapping_rmap_tree_remove(vma: vm_area_struct, mapping: address_space): void {
  const i = mapping.i_mmap.indexOf(vma);
  BUG_ON(i < 0, 'mm/interval_tree.c: mapping_rmap_tree_remove() of an absent vma');
  mapping.i_mmap.splice(i, 1);
}

/** Makes the chain's vma visible to rmap walks of the anon_vma (mm/interval_tree.c: anon_rmap_tree_insert()). */
export function anon_rmap_tree_insert(avc: anon_vma_chain, av: anon_vma): void {
  av.rb_root.push(avc);
}

/** Hides the chain's vma from rmap walks of the anon_vma (mm/interval_tree.c: anon_rmap_tree_remove()). */
export function anon_rmap_tree_remove(avc: anon_vma_chain, av: anon_vma): void {
  const i = av.rb_root.indexOf(avc);
  BUG_ON(i < 0, 'mm/interval_tree.c: anon_rmap_tree_remove() of an absent chain');
  av.rb_root.splice(i, 1);
}
