// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { ENOMEM } from '../../errno.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import type { address_space, file } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { vma_adjust_trans_huge } from '../huge_memory/pmd_lock.ts';
import { hugetlb_split } from '../hugetlb/vma.ts';
import {
  anon_rmap_tree_insert,
  anon_rmap_tree_remove,
  mapping_rmap_tree_insert,
  mapping_rmap_tree_remove,
} from '../interval_tree.ts';
import { khugepaged_enter_vma } from '../khugepaged/khugepaged.ts';
import {
  type anon_vma,
  is_cow_mapping,
  is_vm_hugetlb_page,
  linear_page_index,
  type mm_struct,
  VM_ACCESS_FLAGS,
  type vm_area_struct,
  VM_MAYBE_GUARD,
  VM_SPECIAL,
  vma_is_anonymous,
} from '../mm_types.ts';
import { find_vma_prev } from '../mmap/find_vma.ts';
import { vma_mark_detached, vma_start_write } from '../mmap_lock.ts';
import { PAGE_SIZE } from '../physmem.ts';
import {
  anon_vma_clone,
  anon_vma_lock_write,
  anon_vma_unlock_write,
  unlink_anon_vmas,
  VMA_OP_MERGE_UNFAULTED,
  VMA_OP_REMAP,
  VMA_OP_SPLIT,
} from '../rmap/anon_vma.ts';
import {
  is_mergeable_vm_userfaultfd_ctx,
  type userfaultfd_ctx,
  vma_has_uffd_without_event_remap,
} from '../userfaultfd/userfaultfd.ts';
import { vm_area_dup, vm_area_free } from '../vma_init.ts';
import {
  __remove_shared_vm_struct,
  __vma_link_file,
  linear_anon_page_index,
  vma_end_anon_pgoff,
  vma_end_pgoff,
  vma_erase,
  vma_iter_at,
  vma_iter_load,
  vma_iter_set,
  vma_iter_store_new,
  vma_iterator,
  vma_link,
  vma_prev,
  vma_set_range,
  vma_start_anon_pgoff,
  vma_start_pgoff,
} from './vma.ts';

/** maximum number of vmas in an mm (/proc/sys/vm/max_map_count) */
export const sysctl_max_map_count = 65530;

/** flags that a merged vma has if any part had them (include/linux/mm.h: VMA_STICKY_FLAGS) */
const VM_STICKY = VM_MAYBE_GUARD;

const VMA_MERGE_START = 0;
export const VMA_MERGE_ERROR_NOMEM = 1;
export const VMA_MERGE_NOMERGE = 2;
export const VMA_MERGE_SUCCESS = 3;

/** A merge to attempt: the proposed range and its neighbours (mm/vma.h: struct vma_merge_struct). */
export class vma_merge_struct {
  readonly mm: mm_struct;
  readonly vmi: vma_iterator;
  prev: vm_area_struct | null = null;
  middle: vm_area_struct | null = null;
  next: vm_area_struct | null = null;
  target: vm_area_struct | null = null;
  start: number;
  end: number;
  pgoff: number;
  anon_pgoff: number;
  vm_flags: number;
  file: file | null = null;
  anon_vma: anon_vma | null = null;
  uffd_ctx: userfaultfd_ctx | null = null;
  state = VMA_MERGE_START;
  copied_from: vm_area_struct | null = null;
  just_expand = false;
  give_up_on_oom = false;
  __adjust_middle_start = false;
  __adjust_next_start = false;
  __remove_middle = false;
  __remove_next = false;
  constructor(
    mm: mm_struct,
    vmi: vma_iterator,
    start: number,
    end: number,
    vm_flags: number,
    pgoff: number,
    anon_pgoff: number,
  ) {
    this.mm = mm;
    this.vmi = vmi;
    this.start = start;
    this.end = end;
    this.vm_flags = vm_flags;
    this.pgoff = pgoff;
    this.anon_pgoff = anon_pgoff;
  }
}

/** Returns the state of a merge of part of an existing vma (mm/vma.h: VMG_VMA_STATE). */
export function VMG_VMA_STATE(
  vmi: vma_iterator,
  prev: vm_area_struct | null,
  vma: vm_area_struct,
  start: number,
  end: number,
): vma_merge_struct {
  const vmg = new vma_merge_struct(
    vma.vm_mm,
    vmi,
    start,
    end,
    vma.vm_flags,
    linear_page_index(vma, start),
    linear_anon_page_index(vma, start),
  );
  vmg.prev = prev;
  vmg.middle = vma;
  vmg.file = vma.vm_file;
  vmg.anon_vma = vma.anon_vma;
  vmg.uffd_ctx = vma.vm_userfaultfd_ctx;
  return vmg;
}

/** mm/vma.h: vmg_pages() */
function vmg_pages(vmg: vma_merge_struct): number {
  return (vmg.end - vmg.start) / PAGE_SIZE;
}

/** Returns true if the vma has one anon_vma_chain (include/linux/list.h: list_is_singular()). */
function list_is_singular(vma: vm_area_struct): boolean {
  return vma.anon_vma_chain.length === 1;
}

/** mm/vma.c: vma_is_fork_child() */
function vma_is_fork_child(vma: vm_area_struct | null): boolean {
  return vma !== null && vma.anon_vma !== null && !list_is_singular(vma);
}

/** mm/vma.c: is_mergeable_vma() */
function is_mergeable_vma(vmg: vma_merge_struct, merge_next: boolean): boolean {
  const vma = (merge_next ? vmg.next : vmg.prev) as vm_area_struct;
  if (((vma.vm_flags ^ vmg.vm_flags) & ~VM_STICKY) !== 0) return false;
  if (vma.vm_file !== vmg.file) return false;
  return is_mergeable_vm_userfaultfd_ctx(vma, vmg.uffd_ctx);
}

/** mm/vma.c: is_mergeable_anon_vma() */
function is_mergeable_anon_vma(m: Machine, vmg: vma_merge_struct, merge_next: boolean): boolean {
  const tgt = (merge_next ? vmg.next : vmg.prev) as vm_area_struct;
  const src = vmg.middle;
  const tgt_anon = tgt.anon_vma;
  const src_anon = vmg.anon_vma;
  WARN_ON(m, src !== null && src_anon !== src.anon_vma, 'is_mergeable_anon_vma');
  if (tgt_anon === null && src_anon !== null) return !vma_is_fork_child(src) && !vma_is_fork_child(vmg.copied_from);
  if (tgt_anon !== null && src_anon === null) return !vma_is_fork_child(tgt);
  return src_anon === tgt_anon;
}

/** mm/vma.c: needs_adjacent_anon_pgoff() */
function needs_adjacent_anon_pgoff(vmg: vma_merge_struct): boolean {
  return vmg.file !== null && is_cow_mapping(vmg.vm_flags);
}

/** mm/vma.c: can_vma_merge_before() */
function can_vma_merge_before(m: Machine, vmg: vma_merge_struct): boolean {
  const next = vmg.next as vm_area_struct;
  if (!is_mergeable_vma(vmg, true)) return false;
  if (!is_mergeable_anon_vma(m, vmg, true)) return false;
  if (vmg.pgoff + vmg_pages(vmg) !== vma_start_pgoff(next)) return false;
  return !needs_adjacent_anon_pgoff(vmg) || vmg.anon_pgoff + vmg_pages(vmg) === vma_start_anon_pgoff(next);
}

/** mm/vma.c: can_vma_merge_after() */
function can_vma_merge_after(m: Machine, vmg: vma_merge_struct): boolean {
  const prev = vmg.prev as vm_area_struct;
  if (!is_mergeable_vma(vmg, false)) return false;
  if (!is_mergeable_anon_vma(m, vmg, false)) return false;
  if (vma_end_pgoff(prev) !== vmg.pgoff) return false;
  return !needs_adjacent_anon_pgoff(vmg) || vma_end_anon_pgoff(prev) === vmg.anon_pgoff;
}

/** mm/vma.c: can_vma_merge_left() */
function can_vma_merge_left(m: Machine, vmg: vma_merge_struct): boolean {
  return vmg.prev !== null && vmg.prev.vm_end === vmg.start && can_vma_merge_after(m, vmg);
}

/**
 * Also checks, if the left side can merge too, that the anon_vmas of both neighbours are compatible (mm/vma.c:
 * can_vma_merge_right()).
 */
function can_vma_merge_right(m: Machine, vmg: vma_merge_struct, can_merge_left: boolean): boolean {
  const next = vmg.next;
  if (next === null || vmg.end !== next.vm_start || !can_vma_merge_before(m, vmg)) return false;
  if (!can_merge_left) return true;
  const prev = vmg.prev as vm_area_struct;
  return prev.anon_vma === null || next.anon_vma === null || prev.anon_vma === next.anon_vma;
}

/** The locks of a change of vma ranges and the vmas that it inserts and removes (mm/vma.h: struct vma_prepare). */
interface vma_prepare_state {
  readonly vma: vm_area_struct;
  readonly adj_next: vm_area_struct | null;
  readonly file: file | null;
  readonly mapping: address_space | null;
  readonly anon_vma: anon_vma | null;
  insert: vm_area_struct | null;
  readonly remove: vm_area_struct[];
}

/** mm/vma.c: init_multi_vma_prep() */
function init_multi_vma_prep(m: Machine, vma: vm_area_struct, vmg: vma_merge_struct | null): vma_prepare_state {
  const remove: vm_area_struct[] = [];
  let adjust: vm_area_struct | null = null;
  if (vmg !== null) {
    if (vmg.__remove_middle) remove.push(vmg.middle as vm_area_struct);
    if (vmg.__remove_next) remove.push(vmg.next as vm_area_struct);
    if (vmg.__adjust_middle_start) adjust = vmg.middle;
    else if (vmg.__adjust_next_start) adjust = vmg.next;
  }
  const anon = vma.anon_vma ?? adjust?.anon_vma ?? null;
  WARN_ON(
    m,
    anon !== null && adjust !== null && adjust.anon_vma !== null && anon !== adjust.anon_vma,
    'init_multi_vma_prep',
  );
  return {
    vma,
    adj_next: adjust,
    file: vma.vm_file,
    mapping: vma.vm_file?.f_mapping ?? null,
    anon_vma: anon,
    insert: null,
    remove,
  };
}

/** mm/vma.c: vma_prepare() */
function* vma_prepare(m: Machine, vp: vma_prepare_state): Gen<void> {
  if (vp.mapping !== null) {
    yield* down_write(m, vp.mapping.i_mmap_rwsem);
    const inserted = vp.insert?.vm_file?.f_mapping ?? null;
    if (vp.insert !== null && inserted !== null) __vma_link_file(vp.insert, inserted);
  }
  if (vp.anon_vma !== null) {
    yield* anon_vma_lock_write(m, vp.anon_vma);
    for (const avc of vp.vma.anon_vma_chain) anon_rmap_tree_remove(avc, avc.anon_vma);
    if (vp.adj_next !== null) for (const avc of vp.adj_next.anon_vma_chain) anon_rmap_tree_remove(avc, avc.anon_vma);
  }
  if (vp.mapping !== null) {
    mapping_rmap_tree_remove(vp.vma, vp.mapping);
    if (vp.adj_next !== null) mapping_rmap_tree_remove(vp.adj_next, vp.mapping);
  }
}

/** mm/vma.c: vma_complete() */
function* vma_complete(m: Machine, vp: vma_prepare_state, vmi: vma_iterator): Gen<void> {
  if (vp.mapping !== null) {
    if (vp.adj_next !== null) mapping_rmap_tree_insert(vp.adj_next, vp.mapping);
    mapping_rmap_tree_insert(vp.vma, vp.mapping);
  }
  if (vp.remove.length > 0 && vp.mapping !== null) {
    for (const vma of vp.remove) __remove_shared_vm_struct(vma, vp.mapping);
  } else if (vp.insert !== null) {
    vma_iter_store_new(vmi, vp.insert);
  }
  if (vp.anon_vma !== null) {
    for (const avc of vp.vma.anon_vma_chain) anon_rmap_tree_insert(avc, avc.anon_vma);
    if (vp.adj_next !== null) for (const avc of vp.adj_next.anon_vma_chain) anon_rmap_tree_insert(avc, avc.anon_vma);
    anon_vma_unlock_write(m, vp.anon_vma);
  }
  if (vp.mapping !== null) up_write(m, vp.mapping.i_mmap_rwsem);
  for (const [i, vma] of vp.remove.entries()) {
    vma_mark_detached(vma);
    if (vp.file !== null) fput(m, vp.file);
    if (vma.anon_vma !== null) yield* unlink_anon_vmas(m, vma);
    if (i === vp.remove.length - 1) WARN_ON_ONCE(m, vp.vma.vm_end < vma.vm_end, 'vma_complete');
    vm_area_free(m, vma);
  }
}

/**
 * Splits a vma at addr; new_below says which half is the new vma. The iterator ends on `vma`. The caller holds the
 * mmap_lock for writing. Returns 0, -ENOMEM or the error of vm_ops->may_split (mm/vma.c: __split_vma()).
 */
export function* __split_vma(
  m: Machine,
  vmi: vma_iterator,
  vma: vm_area_struct,
  addr: number,
  new_below: boolean,
): Gen<number> {
  WARN_ON(m, vma.vm_start >= addr, '__split_vma');
  WARN_ON(m, vma.vm_end <= addr, '__split_vma');
  if (vma.vm_ops?.may_split !== undefined) {
    const err = vma.vm_ops.may_split(m, vma, addr);
    if (err) return err;
  }
  const nvma = vm_area_dup(m, vma);
  const delta = (addr - vma.vm_start) / PAGE_SIZE;
  if (new_below) {
    nvma.vm_end = addr;
  } else {
    vma_set_range(nvma, addr, vma.vm_end, vma_start_pgoff(vma) + delta, vma_start_anon_pgoff(vma) + delta);
  }
  const err = yield* anon_vma_clone(m, nvma, vma, VMA_OP_SPLIT);
  if (err) {
    vm_area_free(m, nvma);
    return err;
  }
  if (nvma.vm_file !== null) get_file(nvma.vm_file);
  nvma.vm_ops?.open?.(m, nvma);
  yield* vma_start_write(m, vma);
  yield* vma_start_write(m, nvma);

  const vp = init_multi_vma_prep(m, vma, null);
  vp.insert = nvma;
  yield* vma_prepare(m, vp);
  yield* vma_adjust_trans_huge(m, vma, vma.vm_start, addr, null);
  if (is_vm_hugetlb_page(vma)) hugetlb_split(m, vma, addr);
  if (new_below) vma_set_range(vma, addr, vma.vm_end, vma_start_pgoff(vma) + delta, vma_start_anon_pgoff(vma) + delta);
  else vma.vm_end = addr;
  yield* vma_complete(m, vp, vmi);
  vma_iter_at(vmi, vma);
  return 0;
}

/** __split_vma() that returns -ENOMEM if the mm has its maximum number of vmas (mm/vma.c: split_vma()). */
export function* split_vma(
  m: Machine,
  vmi: vma_iterator,
  vma: vm_area_struct,
  addr: number,
  new_below: boolean,
): Gen<number> {
  if (vma.vm_mm.mm_mt.length >= sysctl_max_map_count) return -ENOMEM;
  return yield* __split_vma(m, vmi, vma, addr, new_below);
}

/**
 * Gives dst the anon_vmas of src if it has none, and stores it in dup.vma so that the caller can undo that. Returns 0
 * or -errno (mm/vma.c: dup_anon_vma()).
 */
function* dup_anon_vma(
  m: Machine,
  dst: vm_area_struct,
  src: vm_area_struct,
  dup: { vma: vm_area_struct | null },
): Gen<number> {
  if (src.anon_vma === null || dst.anon_vma !== null) return 0;
  dst.anon_vma = src.anon_vma;
  const ret = yield* anon_vma_clone(m, dst, src, VMA_OP_MERGE_UNFAULTED);
  if (ret) return ret;
  dup.vma = dst;
  return 0;
}

/** mm/vma.c: vmg_adjust_set_range() */
function vmg_adjust_set_range(vmg: vma_merge_struct): void {
  if (vmg.__adjust_middle_start) {
    const middle = vmg.middle as vm_area_struct;
    const delta = (vmg.end - middle.vm_start) / PAGE_SIZE;
    vma_set_range(middle, vmg.end, middle.vm_end, middle.vm_pgoff + delta, middle.vm_anon_pgoff + delta);
  } else if (vmg.__adjust_next_start) {
    const next = vmg.next as vm_area_struct;
    const delta = (next.vm_start - vmg.end) / PAGE_SIZE;
    vma_set_range(next, vmg.end, next.vm_end, next.vm_pgoff - delta, next.vm_anon_pgoff - delta);
  }
}

/** Applies the ranges of a merge (mm/vma.c: commit_merge()). */
function* commit_merge(m: Machine, vmg: vma_merge_struct): Gen<number> {
  const vma = (vmg.__adjust_next_start ? vmg.middle : vmg.target) as vm_area_struct;
  const vp = init_multi_vma_prep(m, vma, vmg);
  yield* vma_prepare(m, vp);
  yield* vma_adjust_trans_huge(m, vma, vmg.start, vmg.end, vmg.__adjust_middle_start ? vmg.middle : null);
  vma_set_range(vma, vmg.start, vmg.end, vmg.pgoff, vmg.anon_pgoff);
  vmg_adjust_set_range(vmg);
  vma_erase(vmg.mm, vp.remove);
  vma_iter_at(vmg.vmi, vmg.target as vm_area_struct);
  yield* vma_complete(m, vp, vmg.vmi);
  return 0;
}

/** mm/vma.c: can_merge_remove_vma() */
function can_merge_remove_vma(vma: vm_area_struct): boolean {
  return vma.vm_ops?.close === undefined;
}

/**
 * Tries to merge [start, end) of vmg.middle, whose attributes are about to change, with its neighbours. Returns the
 * merged vma, or null with the reason in vmg.state (mm/vma.c: vma_merge_existing_range()).
 */
export function* vma_merge_existing_range(m: Machine, vmg: vma_merge_struct): Gen<vm_area_struct | null> {
  const middle = vmg.middle as vm_area_struct;
  const prev = vmg.prev;
  const start = vmg.start;
  const end = vmg.end;
  const left_side = start === middle.vm_start;
  const right_side = end === middle.vm_end;
  let sticky_flags = vmg.vm_flags & VM_STICKY;

  vmg.state = VMA_MERGE_NOMERGE;
  if (vmg.vm_flags & VM_SPECIAL || (!left_side && !right_side)) return null;

  const merge_left = left_side && can_vma_merge_left(m, vmg);
  let merge_right = false;
  let next: vm_area_struct | null = null;
  if (right_side) {
    next = find_vma_prev(vmg.mm, end).vma;
    if (next !== null && next.vm_start !== end) next = null;
    vmg.next = next;
    merge_right = can_vma_merge_right(m, vmg, merge_left);
  }
  if (!merge_left && !merge_right) return null;

  let merge_both = merge_left && merge_right;
  vmg.__remove_middle = left_side && right_side;
  if (vmg.__remove_middle && !can_merge_remove_vma(middle)) return null;
  vmg.__remove_next = merge_both;
  if (vmg.__remove_next && !can_merge_remove_vma(next as vm_area_struct)) {
    vmg.__remove_next = false;
    merge_right = false;
    merge_both = false;
  }

  yield* vma_start_write(m, middle);
  if (merge_right) {
    const n = next as vm_area_struct;
    yield* vma_start_write(m, n);
    vmg.target = n;
    sticky_flags |= n.vm_flags & VM_STICKY;
  }
  if (merge_left) {
    const p = prev as vm_area_struct;
    yield* vma_start_write(m, p);
    vmg.target = p;
    sticky_flags |= p.vm_flags & VM_STICKY;
  }

  const anon_dup: { vma: vm_area_struct | null } = { vma: null };
  let err: number;
  if (merge_both) {
    const p = prev as vm_area_struct;
    const n = next as vm_area_struct;
    vmg.start = p.vm_start;
    vmg.end = n.vm_end;
    vmg.pgoff = vma_start_pgoff(p);
    vmg.anon_pgoff = vma_start_anon_pgoff(p);
    err = yield* dup_anon_vma(m, p, n.anon_vma !== null ? n : middle, anon_dup);
  } else if (merge_left) {
    const p = prev as vm_area_struct;
    vmg.start = p.vm_start;
    vmg.pgoff = vma_start_pgoff(p);
    vmg.anon_pgoff = vma_start_anon_pgoff(p);
    if (!vmg.__remove_middle) vmg.__adjust_middle_start = true;
    err = yield* dup_anon_vma(m, p, middle, anon_dup);
  } else {
    const n = next as vm_area_struct;
    const pglen = vmg_pages(vmg);
    if (vmg.__remove_middle) {
      vmg.end = n.vm_end;
      vmg.pgoff = vma_start_pgoff(n) - pglen;
      vmg.anon_pgoff = vma_start_anon_pgoff(n) - pglen;
    } else {
      vmg.__adjust_next_start = true;
      vmg.start = middle.vm_start;
      vmg.end = start;
      vmg.pgoff = vma_start_pgoff(middle);
      vmg.anon_pgoff = vma_start_anon_pgoff(middle);
    }
    err = yield* dup_anon_vma(m, n, middle, anon_dup);
  }

  if (err || (yield* commit_merge(m, vmg))) {
    vma_iter_set(vmg.vmi, start);
    vma_iter_load(vmg.vmi);
    if (anon_dup.vma !== null) yield* unlink_anon_vmas(m, anon_dup.vma);
    if (!vmg.give_up_on_oom) vmg.state = VMA_MERGE_ERROR_NOMEM;
    return null;
  }
  const target = vmg.target as vm_area_struct;
  target.vm_flags |= sticky_flags;
  khugepaged_enter_vma(m, target, vmg.vm_flags);
  vmg.state = VMA_MERGE_SUCCESS;
  return target;
}

/**
 * Tries to extend vmg.prev, vmg.next, or both as one vma over the unmapped range [start, end). Returns the extended vma
 * or null (mm/vma.c: vma_merge_new_range()).
 */
export function* vma_merge_new_range(m: Machine, vmg: vma_merge_struct): Gen<vm_area_struct | null> {
  const prev = vmg.prev;
  const next = vmg.next;
  const end = vmg.end;
  vmg.state = VMA_MERGE_NOMERGE;
  if (vmg.vm_flags & VM_SPECIAL || (prev === null && next === null)) return null;

  const can_merge_left = can_vma_merge_left(m, vmg);
  const can_merge_right = !vmg.just_expand && can_vma_merge_right(m, vmg, can_merge_left);
  if (can_merge_right) {
    vmg.end = (next as vm_area_struct).vm_end;
    vmg.target = next;
  }
  if (can_merge_left) {
    const p = prev as vm_area_struct;
    vmg.start = p.vm_start;
    vmg.target = p;
    vmg.pgoff = vma_start_pgoff(p);
    vmg.anon_pgoff = vma_start_anon_pgoff(p);
    if (can_merge_right && !can_merge_remove_vma(next as vm_area_struct)) vmg.end = end;
  }
  if (vmg.target !== null && (yield* vma_expand(m, vmg)) === 0) {
    khugepaged_enter_vma(m, vmg.target, vmg.vm_flags);
    vmg.state = VMA_MERGE_SUCCESS;
    return vmg.target;
  }
  return null;
}

/**
 * Extends vmg.target to [start, end) and removes vmg.next if the range ends where it does. Returns 0 or -ENOMEM
 * (mm/vma.c: vma_expand()).
 */
function* vma_expand(m: Machine, vmg: vma_merge_struct): Gen<number> {
  const target = vmg.target as vm_area_struct;
  const next = vmg.next;
  const anon_dup: { vma: vm_area_struct | null } = { vma: null };
  let sticky_flags = (vmg.vm_flags | target.vm_flags) & VM_STICKY;
  yield* vma_start_write(m, target);
  const remove_next = next !== null && target !== next && vmg.end === next.vm_end;

  let ret = 0;
  if (remove_next) ret = yield* dup_anon_vma(m, target, next, anon_dup);
  if (!ret && vmg.copied_from !== null) ret = yield* dup_anon_vma(m, target, vmg.copied_from, anon_dup);
  if (ret) return ret;
  if (remove_next) {
    yield* vma_start_write(m, next);
    vmg.__remove_next = true;
    sticky_flags |= next.vm_flags & VM_STICKY;
  }
  if (yield* commit_merge(m, vmg)) {
    if (anon_dup.vma !== null) yield* unlink_anon_vmas(m, anon_dup.vma);
    if (!vmg.give_up_on_oom) vmg.state = VMA_MERGE_ERROR_NOMEM;
    return -ENOMEM;
  }
  target.vm_flags |= sticky_flags;
  return 0;
}

/**
 * Merges or splits so that one vma is exactly the changed range or includes it. Returns that vma or -errno (mm/vma.c:
 * vma_modify()).
 */
function* vma_modify(m: Machine, vmg: vma_merge_struct): Gen<vm_area_struct | number> {
  const vma = vmg.middle as vm_area_struct;
  const start = vmg.start;
  const end = vmg.end;
  const merged = yield* vma_merge_existing_range(m, vmg);
  if (merged !== null) return merged;
  if (vmg.state === VMA_MERGE_ERROR_NOMEM) return -ENOMEM;
  WARN_ON(m, vmg.give_up_on_oom && (vma.vm_start !== start || vma.vm_end !== end), 'vma_modify');
  if (vma.vm_start < start) {
    const err = yield* split_vma(m, vmg.vmi, vma, start, true);
    if (err) return err;
  }
  if (vma.vm_end > end) {
    const err = yield* split_vma(m, vmg.vmi, vma, end, false);
    if (err) return err;
  }
  return vma;
}

/**
 * Merges or splits for a change of [start, end) to the given flags, which the caller then sets. A merge may add sticky
 * flags, which are stored back (mm/vma.c: vma_modify_flags()).
 */
export function* vma_modify_flags(
  m: Machine,
  vmi: vma_iterator,
  prev: vm_area_struct | null,
  vma: vm_area_struct,
  start: number,
  end: number,
  vma_flags_ptr: { flags: number },
): Gen<vm_area_struct | number> {
  const vmg = VMG_VMA_STATE(vmi, prev, vma, start, end);
  vmg.vm_flags = vma_flags_ptr.flags;
  const ret = yield* vma_modify(m, vmg);
  if (typeof ret === 'number') return ret;
  if (vmg.state === VMA_MERGE_SUCCESS) vma_flags_ptr.flags = ret.vm_flags;
  return ret;
}

/**
 * vma_modify_flags() for flags and userfaultfd context together; `vmg` is VMG_VMA_STATE() (mm/vma.c:
 * vma_modify_flags_uffd()).
 */
export function* vma_modify_flags_uffd(
  m: Machine,
  vmg: vma_merge_struct,
  vma_flags: number,
  new_ctx: userfaultfd_ctx | null,
  give_up_on_oom: boolean,
): Gen<vm_area_struct | number> {
  vmg.vm_flags = vma_flags;
  vmg.uffd_ctx = new_ctx;
  vmg.give_up_on_oom = give_up_on_oom;
  return yield* vma_modify(m, vmg);
}

/**
 * Extends the vma by delta bytes and merges it with the next one if they are compatible. Returns null if that fails
 * (mm/vma.c: vma_merge_extend()).
 */
export function* vma_merge_extend(
  m: Machine,
  vmi: vma_iterator,
  vma: vm_area_struct,
  delta: number,
): Gen<vm_area_struct | null> {
  const vmg = VMG_VMA_STATE(vmi, vma, vma, vma.vm_end, vma.vm_end + delta);
  vmg.next = find_vma_prev(vma.vm_mm, vma.vm_end).vma;
  vmg.middle = null;
  return yield* vma_merge_new_range(m, vmg);
}

/** Results of copy_vma(). NON-KERNEL (upstream: its output parameters). */
interface copy_vma_result {
  new_vma: vm_area_struct | null;
  /** the source, which a merge may have replaced */
  vma: vm_area_struct;
  need_rmap_locks: boolean;
}

/** Creates the destination vma of mremap(), or extends a neighbour of the destination (mm/vma.c: copy_vma()). */
export function* copy_vma(
  m: Machine,
  old: vm_area_struct,
  addr: number,
  len: number,
  pgoff: number,
  anon_pgoff: number,
  keep_source: boolean,
): Gen<copy_vma_result> {
  let vma = old;
  const old_vma_start = vma.vm_start;
  const mm = vma.vm_mm;
  const vmi = new vma_iterator(mm, addr);
  const vmg = VMG_VMA_STATE(vmi, null, vma, addr, addr + len);
  let can_self_merge = false;
  if (vma.anon_vma === null) {
    anon_pgoff = addr / PAGE_SIZE;
    if (vma_is_anonymous(vma)) {
      pgoff = anon_pgoff;
      can_self_merge = true;
    }
  }
  const found = find_vma_prev(mm, addr);
  vmg.prev = found.prev;
  if (found.vma !== null && found.vma.vm_start < addr + len) return { new_vma: null, vma, need_rmap_locks: false };
  vmg.pgoff = pgoff;
  vmg.anon_pgoff = anon_pgoff;
  vmg.next = found.vma;
  if (can_self_merge && keep_source) {
    if (vmg.prev === vma) vmg.prev = null;
    if (vmg.next === vma) vmg.next = null;
    can_self_merge = false;
  }

  vmg.copied_from = vmg.middle;
  vmg.middle = null;
  let new_vma = vma_has_uffd_without_event_remap(vma) ? null : yield* vma_merge_new_range(m, vmg);
  if (new_vma !== null) {
    if (new_vma.vm_start < old_vma_start && new_vma.vm_end > old_vma_start) {
      WARN_ON_ONCE(m, !can_self_merge, 'copy_vma');
      vma = new_vma;
    }
    return { new_vma, vma, need_rmap_locks: vma_start_pgoff(new_vma) <= vma_start_pgoff(vma) };
  }
  new_vma = vm_area_dup(m, vma);
  vma_set_range(new_vma, addr, addr + len, pgoff, anon_pgoff);
  if (yield* anon_vma_clone(m, new_vma, vma, VMA_OP_REMAP)) {
    vm_area_free(m, new_vma);
    return { new_vma: null, vma, need_rmap_locks: false };
  }
  if (new_vma.vm_file !== null) get_file(new_vma.vm_file);
  new_vma.vm_ops?.open?.(m, new_vma);
  yield* vma_link(m, mm, new_vma);
  return { new_vma, vma, need_rmap_locks: false };
}

/** mm/vma.c: anon_vma_compatible() */
function anon_vma_compatible(a: vm_area_struct, b: vm_area_struct): boolean {
  if (a.vm_end !== b.vm_start) return false;
  if (a.vm_file !== b.vm_file) return false;
  if (((a.vm_flags ^ b.vm_flags) & ~(VM_ACCESS_FLAGS | VM_STICKY)) !== 0) return false;
  if (vma_end_pgoff(a) !== vma_start_pgoff(b)) return false;
  return vma_end_anon_pgoff(a) === vma_start_anon_pgoff(b);
}

/** mm/vma.c: reusable_anon_vma() */
function reusable_anon_vma(old: vm_area_struct, a: vm_area_struct, b: vm_area_struct): anon_vma | null {
  return anon_vma_compatible(a, b) && old.anon_vma !== null && list_is_singular(old) ? old.anon_vma : null;
}

/**
 * Returns the anon_vma of a neighbour that the vma may share, so that the two can merge later, or null (mm/vma.c:
 * find_mergeable_anon_vma()).
 */
export function find_mergeable_anon_vma(_m: Machine, vma: vm_area_struct): anon_vma | null {
  const vmi = new vma_iterator(vma.vm_mm, vma.vm_end);
  const next = vma_iter_load(vmi);
  if (next !== null) {
    const av = reusable_anon_vma(next, vma, next);
    if (av !== null) return av;
  }
  vma_prev(vmi);
  const prev = vma_prev(vmi);
  return prev === null ? null : reusable_anon_vma(prev, prev, vma);
}
