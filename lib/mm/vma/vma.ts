// SPDX-License-Identifier: GPL-2.0-only

import { vma_pgprot_modify } from '../../arch/x86/mm/pgprot.ts';
import type { Machine } from '../../machine.ts';
import { fput } from '../../fs/file_table.ts';
import type { address_space } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { mapping_allow_writable, mapping_unmap_writable } from '../filemap/filemap.ts';
import { mapping_rmap_tree_insert, mapping_rmap_tree_remove } from '../interval_tree.ts';
import {
  MMF_HAS_MDWE,
  linear_page_index,
  type mm_struct,
  VM_ACCESS_FLAGS,
  type vm_area_struct,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_MAYWRITE,
  type vm_operations_struct,
  VM_PFNMAP,
  VM_SEALED,
  VM_SHARED,
  VM_WRITE,
  vma_pages,
} from '../mm_types.ts';
import { find_vma } from '../mmap/find_vma.ts';
import { vma_mark_attached, vma_start_write } from '../mmap_lock.ts';
import { userfaultfd_wp } from '../userfaultfd/userfaultfd.ts';
import { vm_area_free } from '../vma_init.ts';

// The vmas of an mm are an array sorted by address in place of upstream's maple tree. As there, an iterator is at a range
// that is a vma or a gap.

/** A position in an mm's vmas: the range [index, last] once active (include/linux/mm_types.h: struct vma_iterator). */
export class vma_iterator {
  readonly mm: mm_struct;
  index: number;
  /** inclusive */
  last: number;
  active = false;
  constructor(mm: mm_struct, addr: number) {
    this.mm = mm;
    this.index = addr;
    this.last = addr;
  }
}

/** Operations of a vma after vma_close() (mm/init-mm.c: vma_dummy_vm_ops). */
export const vma_dummy_vm_ops: vm_operations_struct = {};

/** Returns the index of the first vma that ends above addr, or the number of vmas. NON-KERNEL. */
export function first_ending_above(mm: mm_struct, addr: number): number {
  const v = mm.mm_mt;
  let lo = 0;
  let hi = v.length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (v[mid].vm_end > addr) hi = mid;
    else lo = mid + 1;
  }
  return lo;
}

/** Returns the page offset of the first page in the object (include/linux/mm.h: vma_start_pgoff()). */
export function vma_start_pgoff(vma: vm_area_struct): number {
  return vma.vm_pgoff;
}

/** Returns the page offset after the last page (include/linux/mm.h: vma_end_pgoff()). */
export function vma_end_pgoff(vma: vm_area_struct): number {
  return vma.vm_pgoff + vma_pages(vma);
}

/** Returns the page offset of the last page (include/linux/mm.h: vma_last_pgoff()). */
export function vma_last_pgoff(vma: vm_area_struct): number {
  return vma_end_pgoff(vma) - 1;
}

/** Returns the anonymous index of the first page (include/linux/mm.h: vma_start_anon_pgoff()). */
export function vma_start_anon_pgoff(vma: vm_area_struct): number {
  return vma.vm_anon_pgoff;
}

/** Returns the anonymous index after the last page (include/linux/mm.h: vma_end_anon_pgoff()). */
export function vma_end_anon_pgoff(vma: vm_area_struct): number {
  return vma.vm_anon_pgoff + vma_pages(vma);
}

/**
 * Returns the index of an anonymous folio that the vma maps at the address (include/linux/pagemap.h:
 * linear_anon_page_index()).
 */
export function linear_anon_page_index(vma: vm_area_struct, address: number): number {
  return linear_page_index(vma, address) - vma.vm_pgoff + vma.vm_anon_pgoff;
}

/** Returns the vma that contains the address, or null (include/linux/mm.h: vma_lookup()). */
export function vma_lookup(mm: mm_struct, addr: number): vm_area_struct | null {
  const vma = find_vma(mm, addr);
  return vma !== null && vma.vm_start <= addr ? vma : null;
}

/** Sets the iterator's address (include/linux/mm.h: vma_iter_set()). */
export function vma_iter_set(vmi: vma_iterator, addr: number): void {
  vmi.index = addr;
  vmi.last = addr;
  vmi.active = false;
}

/** Sets the iterator to a vma. NON-KERNEL (upstream: where a store leaves the maple state). */
export function vma_iter_at(vmi: vma_iterator, vma: vm_area_struct): vm_area_struct {
  vmi.index = vma.vm_start;
  vmi.last = vma.vm_end - 1;
  vmi.active = true;
  return vma;
}

/**
 * Returns the vma at the iterator's address, or null for a gap, and makes either the iterator's range (mm/vma.h:
 * vma_iter_load()).
 */
export function vma_iter_load(vmi: vma_iterator): vm_area_struct | null {
  const i = first_ending_above(vmi.mm, vmi.index);
  const vma = vmi.mm.mm_mt[i];
  if (vma !== undefined && vma.vm_start <= vmi.index) return vma_iter_at(vmi, vma);
  const prev = vmi.mm.mm_mt[i - 1];
  vmi.index = prev === undefined ? 0 : prev.vm_end;
  vmi.last = vma === undefined ? Infinity : vma.vm_start - 1;
  vmi.active = true;
  return null;
}

/**
 * Returns the next vma that starts below `max`; the first call includes the vma at the iterator's address. The iterator
 * stays in place if there is none (include/linux/mm.h: vma_find()).
 */
export function vma_find(vmi: vma_iterator, max: number): vm_area_struct | null {
  const from = vmi.active ? vmi.last + 1 : vmi.index;
  if (from >= max) return null;
  const vma = vmi.mm.mm_mt[first_ending_above(vmi.mm, from)];
  if (vma === undefined || vma.vm_start >= max) return null;
  return vma_iter_at(vmi, vma);
}

/** Returns the next vma or null (include/linux/mm.h: vma_next()). */
export function vma_next(vmi: vma_iterator): vm_area_struct | null {
  return vma_find(vmi, Infinity);
}

/** Returns the vma before the iterator, or null with the iterator at address 0 (include/linux/mm.h: vma_prev()). */
export function vma_prev(vmi: vma_iterator): vm_area_struct | null {
  const prev = vmi.mm.mm_mt[first_ending_above(vmi.mm, vmi.index) - 1];
  if (prev === undefined) {
    vma_iter_set(vmi, 0);
    return null;
  }
  return vma_iter_at(vmi, prev);
}

/** Stores a write-locked vma, whose range must be free, in its mm (mm/vma.h: vma_iter_store_new()). */
export function vma_iter_store_new(vmi: vma_iterator, vma: vm_area_struct): void {
  const mm = vmi.mm;
  vma_mark_attached(vma);
  const i = first_ending_above(mm, vma.vm_start);
  const next = mm.mm_mt[i];
  BUG_ON(next !== undefined && next.vm_start < vma.vm_end, 'mm/vma.h: vma_iter_store_new() over a mapping');
  mm.mm_mt.splice(i, 0, vma);
  vma_iter_at(vmi, vma);
}

/** Removes adjacent vmas from the mm. NON-KERNEL (mm/vma.h: vma_iter_clear()). */
export function vma_erase(mm: mm_struct, vmas: readonly vm_area_struct[]): void {
  const first = vmas[0];
  if (first === undefined) return;
  const i = mm.mm_mt.indexOf(first);
  for (let k = 0; k < vmas.length; k++)
    BUG_ON(mm.mm_mt[i + k] !== vmas[k], 'mm/vma.h: vma_iter_clear() of vmas that are not neighbours');
  mm.mm_mt.splice(i, vmas.length);
}

/** Replaces the flags of a write-locked vma (include/linux/mm.h: vm_flags_reset()). */
export function vm_flags_reset(vma: vm_area_struct, flags: number): void {
  vma.vm_flags = flags;
}

/**
 * Adds flags to a vma that the caller has write-locked; upstream's locks it itself (include/linux/mm.h:
 * vm_flags_set()).
 */
export function vm_flags_set(vma: vm_area_struct, flags: number): void {
  vma.vm_flags |= flags;
}

/** True if the mapping may not be changed any more (mm/vma.h: vma_is_sealed()). */
export function vma_is_sealed(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_SEALED) !== 0;
}

/** Sets the range and both page offsets (mm/vma.c: vma_set_range()). */
export function vma_set_range(
  vma: vm_area_struct,
  start: number,
  end: number,
  pgoff: number,
  anon_pgoff: number,
): void {
  vma.vm_start = start;
  vma.vm_end = end;
  vma.vm_pgoff = pgoff;
  vma.vm_anon_pgoff = anon_pgoff;
}

/** Returns true for a shared mapping that may become writable (include/linux/mm.h: vma_is_shared_maywrite()). */
export function vma_is_shared_maywrite(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_SHARED | VM_MAYWRITE)) === (VM_SHARED | VM_MAYWRITE);
}

/** Returns true unless the vma is PROT_NONE (include/linux/mm.h: vma_is_accessible()). */
export function vma_is_accessible(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_ACCESS_FLAGS) !== 0;
}

/** Returns true for flags that are executable, not writable and no stack (mm/vma.h: is_exec_mapping()). */
export function is_exec_mapping(flags: number): boolean {
  return (flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) === VM_EXEC;
}

/** mm/vma.h: is_stack_mapping() */
export function is_stack_mapping(flags: number): boolean {
  return (flags & VM_GROWSDOWN) !== 0;
}

/** Returns true for flags that are private, writable and no stack (mm/vma.h: is_data_mapping()). */
export function is_data_mapping(flags: number): boolean {
  return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) === VM_WRITE;
}

/** Calls vm_ops->close, at most once (mm/internal.h: vma_close()). */
export function* vma_close(m: Machine, vma: vm_area_struct): Gen<void> {
  if (vma.vm_ops?.close !== undefined) {
    yield* vma.vm_ops.close(m, vma);
    vma.vm_ops = vma_dummy_vm_ops;
  }
}

/** Closes and frees a detached vma (mm/vma.c: remove_vma()). */
export function* remove_vma(m: Machine, vma: vm_area_struct): Gen<void> {
  yield* vma_close(m, vma);
  if (vma.vm_file !== null) fput(m, vma.vm_file);
  vm_area_free(m, vma);
}

/** Adds the vma to its file's i_mmap, whose lock is held (mm/vma.c: __vma_link_file()). */
export function __vma_link_file(vma: vm_area_struct, mapping: address_space): void {
  if (vma_is_shared_maywrite(vma)) mapping_allow_writable(mapping);
  mapping_rmap_tree_insert(vma, mapping);
}

/** Removes the vma from its file's i_mmap, whose lock is held (mm/vma.c: __remove_shared_vm_struct()). */
export function __remove_shared_vm_struct(vma: vm_area_struct, mapping: address_space): void {
  if (vma_is_shared_maywrite(vma)) mapping_unmap_writable(mapping);
  mapping_rmap_tree_remove(vma, mapping);
}

/** Adds the vma to its file's i_mmap (mm/vma.c: vma_link_file()). */
export function* vma_link_file(m: Machine, vma: vm_area_struct): Gen<void> {
  const mapping = vma.vm_file?.f_mapping ?? null;
  if (mapping === null) return;
  yield* down_write(m, mapping.i_mmap_rwsem);
  __vma_link_file(vma, mapping);
  up_write(m, mapping.i_mmap_rwsem);
}

/** Up to eight vmas of one file that leave its i_mmap under one lock (mm/vma.h: struct unlink_vma_file_batch). */
export class unlink_vma_file_batch {
  readonly vmas: vm_area_struct[] = [];
}

/** mm/vma.c: unlink_file_vma_batch_process() */
function* unlink_file_vma_batch_process(m: Machine, vb: unlink_vma_file_batch): Gen<void> {
  const mapping = vb.vmas[0]?.vm_file?.f_mapping ?? null;
  if (mapping !== null) {
    yield* down_write(m, mapping.i_mmap_rwsem);
    for (const vma of vb.vmas) __remove_shared_vm_struct(vma, mapping);
    up_write(m, mapping.i_mmap_rwsem);
  }
  vb.vmas.length = 0;
}

/** Queues a vma; does nothing for one without a file (mm/vma.c: unlink_file_vma_batch_add()). */
export function* unlink_file_vma_batch_add(m: Machine, vb: unlink_vma_file_batch, vma: vm_area_struct): Gen<void> {
  if (vma.vm_file === null) return;
  const first = vb.vmas[0];
  if (first !== undefined && (first.vm_file !== vma.vm_file || vb.vmas.length === 8))
    yield* unlink_file_vma_batch_process(m, vb);
  vb.vmas.push(vma);
}

/** Unlinks the vmas that are still queued (mm/vma.c: unlink_file_vma_batch_final()). */
export function* unlink_file_vma_batch_final(m: Machine, vb: unlink_vma_file_batch): Gen<void> {
  if (vb.vmas.length > 0) yield* unlink_file_vma_batch_process(m, vb);
}

/** Stores a vma in the mm and in its file's i_mmap (mm/vma.c: vma_link()). */
export function* vma_link(m: Machine, mm: mm_struct, vma: vm_area_struct): Gen<number> {
  yield* vma_start_write(m, vma);
  vma_iter_store_new(new vma_iterator(mm, vma.vm_start), vma);
  yield* vma_link_file(m, vma);
  return 0;
}

/** mm/vma.c: vm_ops_needs_writenotify() */
function vm_ops_needs_writenotify(vm_ops: vm_operations_struct | null): boolean {
  return vm_ops !== null && (vm_ops.page_mkwrite !== undefined || vm_ops.pfn_mkwrite !== undefined);
}

/** mm/vma.c: vma_is_shared_writable() */
function vma_is_shared_writable(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED);
}

/** Returns true if the vma's file system writes back; tmpfs and hugetlbfs do not (mm/vma.c: vma_fs_can_writeback()). */
function vma_fs_can_writeback(vma: vm_area_struct): boolean {
  if (vma.vm_flags & VM_PFNMAP) return false;
  return false;
}

/** Returns true if writes must fault so that folios are marked dirty (mm/vma.c: vma_needs_dirty_tracking()). */
export function vma_needs_dirty_tracking(vma: vm_area_struct): boolean {
  if (!vma_is_shared_writable(vma)) return false;
  if (vm_ops_needs_writenotify(vma.vm_ops)) return true;
  return vma_fs_can_writeback(vma);
}

/**
 * Returns true if the ptes of a shared writable vma start read-only, so that first writes fault (mm/vma.c:
 * vma_wants_writenotify()). Leaves out soft-dirty tracking.
 */
export function vma_wants_writenotify(vma: vm_area_struct, vm_page_prot: number): boolean {
  if (!vma_is_shared_writable(vma)) return false;
  if (vm_ops_needs_writenotify(vma.vm_ops)) return true;
  if (vm_page_prot !== vma_pgprot_modify(vm_page_prot, vma.vm_flags)) return false;
  if (userfaultfd_wp(vma)) return true;
  return vma_fs_can_writeback(vma);
}

/**
 * Returns true if mprotect must check each pte before it makes it writable (mm/vma.h:
 * vma_wants_manual_pte_write_upgrade()).
 */
export function vma_wants_manual_pte_write_upgrade(vma: vm_area_struct): boolean {
  if (vma.vm_flags & VM_SHARED) return vma_wants_writenotify(vma, vma.vm_page_prot);
  return (vma.vm_flags & VM_WRITE) !== 0;
}

/**
 * Returns the vmas of a file that map a page offset in [first, last] (include/linux/mm.h: mapping_rmap_tree_foreach()).
 */
export function mapping_rmap_tree_foreach(mapping: address_space, first: number, last: number): vm_area_struct[] {
  return mapping.i_mmap.filter((vma) => vma.vm_pgoff <= last && vma_last_pgoff(vma) >= first);
}

/**
 * Returns true if the process gave up memory that is or was writable and becomes executable (mm/vma.h:
 * map_deny_write_exec()).
 */
export function map_deny_write_exec(mm: mm_struct, old: number, now: number): boolean {
  if ((mm.flags & MMF_HAS_MDWE) === 0 || (now & VM_EXEC) === 0) return false;
  return (now & VM_WRITE) !== 0 || (old & VM_EXEC) === 0;
}
