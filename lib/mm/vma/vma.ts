// SPDX-License-Identifier: GPL-2.0-only

import { vma_pgprot_modify } from '../../arch/x86/mm/pgprot.ts';
import type { Machine } from '../../boot.ts';
import { ENOMEM } from '../../errno.ts';
import { fput } from '../../fs/file_table.ts';
import type { address_space } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { mapping_allow_writable, mapping_unmap_writable } from '../filemap/filemap.ts';
import {
  linear_page_index,
  type mm_struct,
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  type vm_area_struct,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_MAYWRITE,
  type vm_operations_struct,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
  vma_is_anonymous,
  vma_pages,
} from '../mm_types.ts';
import { find_vma, find_vma_intersection } from '../mmap/find_vma.ts';
import { vma_mark_attached, vma_start_write } from '../mmap_lock.ts';
import { userfaultfd_wp } from '../userfaultfd/userfaultfd.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from '../util.ts';
import { vm_area_free } from '../vma_init.ts';

// The vmas of an mm are one array in order of address; upstream's maple tree is a map from address ranges to vmas, and
// an iterator of it stands on a range, which may be a gap.

/**
 * Where a walk over an mm's vmas stands: on the range [index, last] once it found one (include/linux/mm_types.h: struct
 * vma_iterator).
 */
export class vma_iterator {
  readonly mm: mm_struct;
  index: number;
  /** last byte of the range */
  last: number;
  active = false;
  constructor(mm: mm_struct, addr: number) {
    this.mm = mm;
    this.index = addr;
    this.last = addr;
  }
}

/** The vm_ops of a vma whose driver is done with it (mm/init-mm.c: vma_dummy_vm_ops). */
export const vma_dummy_vm_ops: vm_operations_struct = {};

/** Position of the first vma that ends above addr, or the number of vmas. NON-KERNEL. */
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

/** First page offset of the vma within its object (include/linux/mm.h: vma_start_pgoff()). */
export function vma_start_pgoff(vma: vm_area_struct): number {
  return vma.vm_pgoff;
}

/** Page offset after its last page (include/linux/mm.h: vma_end_pgoff()). */
export function vma_end_pgoff(vma: vm_area_struct): number {
  return vma.vm_pgoff + vma_pages(vma);
}

/** Page offset of its last page (include/linux/mm.h: vma_last_pgoff()). */
export function vma_last_pgoff(vma: vm_area_struct): number {
  return vma_end_pgoff(vma) - 1;
}

/** Offset of the first page as its anonymous folios are indexed (include/linux/mm.h: vma_start_anon_pgoff()). */
export function vma_start_anon_pgoff(vma: vm_area_struct): number {
  return vma.vm_anon_pgoff;
}

/** Anonymous offset after the last page (include/linux/mm.h: vma_end_anon_pgoff()). */
export function vma_end_anon_pgoff(vma: vm_area_struct): number {
  return vma.vm_anon_pgoff + vma_pages(vma);
}

/** Anonymous offset of the last page (include/linux/mm.h: vma_last_anon_pgoff()). */
export function vma_last_anon_pgoff(vma: vm_area_struct): number {
  return vma_end_anon_pgoff(vma) - 1;
}

/** Index of an anonymous folio that the vma maps at the address (include/linux/pagemap.h: linear_anon_page_index()). */
export function linear_anon_page_index(vma: vm_area_struct, address: number): number {
  return linear_page_index(vma, address) - vma.vm_pgoff + vma.vm_anon_pgoff;
}

/** The vma that holds the address, or null (include/linux/mm.h: vma_lookup()). */
export function vma_lookup(mm: mm_struct, addr: number): vm_area_struct | null {
  const vma = find_vma(mm, addr);
  return vma !== null && vma.vm_start <= addr ? vma : null;
}

/** Moves the walk to before the address (include/linux/mm.h: vma_iter_set()). */
export function vma_iter_set(vmi: vma_iterator, addr: number): void {
  vmi.index = addr;
  vmi.last = addr;
  vmi.active = false;
}

/** Stands the walk on a vma. NON-KERNEL (where upstream's stores leave their iterator). */
export function vma_iter_at(vmi: vma_iterator, vma: vm_area_struct): vm_area_struct {
  vmi.index = vma.vm_start;
  vmi.last = vma.vm_end - 1;
  vmi.active = true;
  return vma;
}

/**
 * The vma at the walk's address, or null where that is a gap; the walk stands on either (mm/vma.h: vma_iter_load()).
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
 * The next vma that starts below `max`, the one at the walk's address counting at first; null leaves the walk where it
 * is (include/linux/mm.h: vma_find()).
 */
export function vma_find(vmi: vma_iterator, max: number): vm_area_struct | null {
  const from = vmi.active ? vmi.last + 1 : vmi.index;
  if (from >= max) return null;
  const vma = vmi.mm.mm_mt[first_ending_above(vmi.mm, from)];
  if (vma === undefined || vma.vm_start >= max) return null;
  return vma_iter_at(vmi, vma);
}

/** The next vma (include/linux/mm.h: vma_next()). */
export function vma_next(vmi: vma_iterator): vm_area_struct | null {
  return vma_find(vmi, Infinity);
}

/** The vma before where the walk stands; null rewinds it to address 0 (include/linux/mm.h: vma_prev()). */
export function vma_prev(vmi: vma_iterator): vm_area_struct | null {
  const prev = vmi.mm.mm_mt[first_ending_above(vmi.mm, vmi.index) - 1];
  if (prev === undefined) {
    vma_iter_set(vmi, 0);
    return null;
  }
  return vma_iter_at(vmi, prev);
}

/**
 * The vma after the gap or vma that the walk stands on, and the one before; the walk ends on the latter (mm/vma.h:
 * vma_iter_next_rewind()).
 */
export function vma_iter_next_rewind(vmi: vma_iterator): { next: vm_area_struct | null; prev: vm_area_struct | null } {
  const from = vmi.active ? vmi.last + 1 : vmi.index;
  const i = first_ending_above(vmi.mm, from);
  return { next: vmi.mm.mm_mt[i] ?? null, prev: vmi.mm.mm_mt[i - 1] ?? null };
}

/** Puts a vma into its mm, whose range must be free; the vma must be write-locked (mm/vma.h: vma_iter_store_new()). */
export function vma_iter_store_new(vmi: vma_iterator, vma: vm_area_struct): void {
  const mm = vmi.mm;
  vma_mark_attached(vma);
  const i = first_ending_above(mm, vma.vm_start);
  const next = mm.mm_mt[i];
  BUG_ON(next !== undefined && next.vm_start < vma.vm_end, 'mm/vma.h: vma_iter_store_new() over a mapping');
  mm.mm_mt.splice(i, 0, vma);
  vma_iter_at(vmi, vma);
}

/** Takes vmas out of the mm's order. NON-KERNEL (mm/vma.h: vma_iter_clear()). */
export function vma_erase(mm: mm_struct, vmas: readonly vm_area_struct[]): void {
  const first = vmas[0];
  if (first === undefined) return;
  const i = mm.mm_mt.indexOf(first);
  for (let k = 0; k < vmas.length; k++)
    BUG_ON(mm.mm_mt[i + k] !== vmas[k], 'mm/vma.h: vma_iter_clear() of vmas that are not neighbours');
  mm.mm_mt.splice(i, vmas.length);
}

/** Sets the flags of a vma that is not in use yet (include/linux/mm.h: vm_flags_init()). */
export function vm_flags_init(vma: vm_area_struct, flags: number): void {
  vma.vm_flags = flags;
}

/** Replaces all flags; the vma must be write-locked (include/linux/mm.h: vm_flags_reset()). */
export function vm_flags_reset(vma: vm_area_struct, flags: number): void {
  vma.vm_flags = flags;
}

/**
 * Adds flags; the caller took vma_start_write() where upstream's does so itself (include/linux/mm.h: vm_flags_set()).
 */
export function vm_flags_set(vma: vm_area_struct, flags: number): void {
  vma.vm_flags |= flags;
}

/** Takes flags away; the caller took vma_start_write() (include/linux/mm.h: vm_flags_clear()). */
export function vm_flags_clear(vma: vm_area_struct, flags: number): void {
  vma.vm_flags &= ~flags;
}

/** Adds some flags and takes others away (include/linux/mm.h: vm_flags_mod()). */
export function vm_flags_mod(vma: vm_area_struct, set: number, clear: number): void {
  vma.vm_flags = (vma.vm_flags | set) & ~clear;
}

/** Sets range and both page offsets (mm/vma.c: vma_set_range()). */
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

/** True for a shared mapping that may be written to (include/linux/mm.h: vma_is_shared_maywrite()). */
export function vma_is_shared_maywrite(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_SHARED | VM_MAYWRITE)) === (VM_SHARED | VM_MAYWRITE);
}

/** True unless it is PROT_NONE (include/linux/mm.h: vma_is_accessible()). */
export function vma_is_accessible(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_ACCESS_FLAGS) !== 0;
}

/** Executable, not writable, no stack (mm/vma.h: is_exec_mapping()). */
export function is_exec_mapping(flags: number): boolean {
  return (flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) === VM_EXEC;
}

/** A stack (mm/vma.h: is_stack_mapping()). */
export function is_stack_mapping(flags: number): boolean {
  return (flags & VM_GROWSDOWN) !== 0;
}

/** Private, writable, no stack (mm/vma.h: is_data_mapping()). */
export function is_data_mapping(flags: number): boolean {
  return (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) === VM_WRITE;
}

/** Tells the vma's driver that it goes, once (mm/internal.h: vma_close()). */
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

/** Makes the vma known to its file's reverse map, whose lock is held (mm/vma.c: __vma_link_file()). */
export function __vma_link_file(vma: vm_area_struct, mapping: address_space): void {
  if (vma_is_shared_maywrite(vma)) mapping_allow_writable(mapping);
  mapping.i_mmap.add(vma);
}

/** Takes the vma out of its file's reverse map, whose lock is held (mm/vma.c: __remove_shared_vm_struct()). */
export function __remove_shared_vm_struct(vma: vm_area_struct, mapping: address_space): void {
  if (vma_is_shared_maywrite(vma)) mapping_unmap_writable(mapping);
  mapping.i_mmap.delete(vma);
}

/** Makes the vma known to its file's reverse map (mm/vma.c: vma_link_file()). */
export function* vma_link_file(m: Machine, vma: vm_area_struct): Gen<void> {
  const mapping = vma.vm_file?.f_mapping ?? null;
  if (mapping === null) return;
  yield* down_write(m, mapping.i_mmap_rwsem);
  __vma_link_file(vma, mapping);
  up_write(m, mapping.i_mmap_rwsem);
}

/**
 * File vmas that are about to leave their reverse maps, up to eight of one file under one lock (mm/vma.h: struct
 * unlink_vma_file_batch).
 */
export class unlink_vma_file_batch {
  readonly vmas: vm_area_struct[] = [];
}

function* unlink_file_vma_batch_process(m: Machine, vb: unlink_vma_file_batch): Gen<void> {
  const mapping = vb.vmas[0]?.vm_file?.f_mapping ?? null;
  if (mapping !== null) {
    yield* down_write(m, mapping.i_mmap_rwsem);
    for (const vma of vb.vmas) __remove_shared_vm_struct(vma, mapping);
    up_write(m, mapping.i_mmap_rwsem);
  }
  vb.vmas.length = 0;
}

/** Queues a vma, without effect on one that has no file (mm/vma.c: unlink_file_vma_batch_add()). */
export function* unlink_file_vma_batch_add(m: Machine, vb: unlink_vma_file_batch, vma: vm_area_struct): Gen<void> {
  if (vma.vm_file === null) return;
  const first = vb.vmas[0];
  if (first !== undefined && (first.vm_file !== vma.vm_file || vb.vmas.length === 8))
    yield* unlink_file_vma_batch_process(m, vb);
  vb.vmas.push(vma);
}

/** Unlinks what is still queued (mm/vma.c: unlink_file_vma_batch_final()). */
export function* unlink_file_vma_batch_final(m: Machine, vb: unlink_vma_file_batch): Gen<void> {
  if (vb.vmas.length > 0) yield* unlink_file_vma_batch_process(m, vb);
}

/** Puts a vma into the mm and its file's reverse map (mm/vma.c: vma_link()). */
export function* vma_link(m: Machine, mm: mm_struct, vma: vm_area_struct): Gen<number> {
  yield* vma_start_write(m, vma);
  vma_iter_store_new(new vma_iterator(mm, vma.vm_start), vma);
  yield* vma_link_file(m, vma);
  return 0;
}

/**
 * Inserts a vma that its caller made, accounting for it; -ENOMEM if the range is taken (mm/vma.c: insert_vm_struct()).
 */
export function* insert_vm_struct(m: Machine, mm: mm_struct, vma: vm_area_struct): Gen<number> {
  const charged = vma_pages(vma);
  if (find_vma_intersection(mm, vma.vm_start, vma.vm_end) !== null) return -ENOMEM;
  if (vma.vm_flags & VM_ACCOUNT && security_vm_enough_memory_mm(m, mm, charged)) return -ENOMEM;
  if (vma_is_anonymous(vma)) {
    WARN_ON_ONCE(m, vma.anon_vma !== null, 'insert_vm_struct');
    vma.vm_pgoff = vma.vm_start / 4096;
  }
  vma.vm_anon_pgoff = vma.vm_start / 4096;
  const err = yield* vma_link(m, mm, vma);
  if (err) {
    if (vma.vm_flags & VM_ACCOUNT) vm_unacct_memory(m, charged);
    return -ENOMEM;
  }
  return 0;
}

function vm_ops_needs_writenotify(vm_ops: vm_operations_struct | null): boolean {
  return vm_ops !== null && (vm_ops.page_mkwrite !== undefined || vm_ops.pfn_mkwrite !== undefined);
}

function vma_is_shared_writable(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED);
}

/**
 * True if a file system that writes back backs the vma; tmpfs and hugetlbfs do not (mm/vma.c: vma_fs_can_writeback()).
 */
function vma_fs_can_writeback(vma: vm_area_struct): boolean {
  if (vma.vm_flags & VM_PFNMAP) return false;
  return false;
}

/**
 * True if writes through the vma must be noticed for the sake of its folios' dirty state (mm/vma.c:
 * vma_needs_dirty_tracking()).
 */
export function vma_needs_dirty_tracking(vma: vm_area_struct): boolean {
  if (!vma_is_shared_writable(vma)) return false;
  if (vm_ops_needs_writenotify(vma.vm_ops)) return true;
  return vma_fs_can_writeback(vma);
}

/**
 * True if a shared writable vma's entries start read-only, so that first writes fault (mm/vma.c:
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
 * True if mprotect must look at each entry to see whether it may be made writable (mm/vma.h:
 * vma_wants_manual_pte_write_upgrade()).
 */
export function vma_wants_manual_pte_write_upgrade(vma: vm_area_struct): boolean {
  if (vma.vm_flags & VM_SHARED) return vma_wants_writenotify(vma, vma.vm_page_prot);
  return (vma.vm_flags & VM_WRITE) !== 0;
}

/**
 * The vmas of a file that may map any page offset in [first, last] (include/linux/mm.h: mapping_rmap_tree_foreach()).
 */
export function mapping_rmap_tree_foreach(mapping: address_space, first: number, last: number): vm_area_struct[] {
  return [...mapping.i_mmap]
    .filter((vma) => vma.vm_pgoff <= last && vma_last_pgoff(vma) >= first)
    .sort((a, b) => a.vm_pgoff - b.vm_pgoff);
}
