// SPDX-License-Identifier: GPL-2.0-only

import { ALIGN, PAGE_ALIGN, TASK_SIZE } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINTR, EINVAL, ENOMEM, EPERM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON, printk, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { mm_populate } from '../gup/gup.ts';
import { thp_get_unmapped_area } from '../huge_memory/unmapped_area.ts';
import { hstate_vma, huge_page_size } from '../hugetlb/pool.ts';
import { fixup_hugetlb_reservations } from '../hugetlb/resv.ts';
import {
  is_vm_hugetlb_page,
  linear_page_index,
  type mm_struct,
  VM_ACCOUNT,
  type vm_area_struct,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SHARED,
  vma_is_anonymous,
} from '../mm_types.ts';
import { find_vma_intersection, vm_stat_account } from '../mmap/find_vma.ts';
import { do_munmap, MAP_FIXED, MAP_SHARED } from '../mmap/mmap.ts';
import { get_unmapped_area } from '../mmap/unmapped_area.ts';
import { mmap_write_lock_killable, mmap_write_unlock, vma_start_write } from '../mmap_lock.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { unlink_anon_vmas } from '../rmap/anon_vma.ts';
import { vma_is_shmem } from '../shmem.ts';
import {
  mremap_userfaultfd_complete,
  mremap_userfaultfd_fail,
  mremap_userfaultfd_prep,
  userfaultfd_armed,
  userfaultfd_unmap_complete,
  type userfaultfd_unmap_ctxs,
  type vm_userfaultfd_ctx,
} from '../userfaultfd/userfaultfd.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from '../util.ts';
import { copy_vma, split_vma, sysctl_max_map_count, vma_merge_extend } from '../vma/merge.ts';
import { do_vmi_munmap } from '../vma/unmap.ts';
import {
  linear_anon_page_index,
  vma_find,
  vma_is_sealed,
  vma_iterator,
  vma_lookup,
  vma_next,
  vma_prev,
} from '../vma/vma.ts';
import { move_page_tables, pagetable_move_control } from './move_page_tables.ts';

// include/uapi/linux/mman.h
const MREMAP_MAYMOVE = 1;
const MREMAP_FIXED = 2;
const MREMAP_DONTUNMAP = 4;

const MREMAP_NO_RESIZE = 1;
const MREMAP_SHRINK = 2;
const MREMAP_EXPAND = 3;

/** State of an mremap (mm/mremap.c: struct vma_remap_struct). */
class vma_remap_struct {
  // addr and old_len may be any 64-bit number, so their sum and PAGE_ALIGN(old_len) wrap at 2^64
  addr: number;
  old_len: number;
  new_len: number;
  readonly flags: number;
  new_addr: number;
  readonly uf: vm_userfaultfd_ctx = { ctx: null };
  readonly uf_unmap_early: userfaultfd_unmap_ctxs = [];
  readonly uf_unmap: userfaultfd_unmap_ctxs = [];
  vma: vm_area_struct | null = null;
  delta = 0;
  populate_expand = false;
  remap_type = 0;
  mmap_locked = false;
  /** pages */
  charged = 0;
  constructor(addr: number, old_len: number, new_len: number, flags: number, new_addr: number) {
    this.addr = addr;
    this.old_len = old_len;
    this.new_len = new_len;
    this.flags = flags;
    this.new_addr = new_addr;
  }
}

/** Sets delta and remap_type (mm/mremap.c: check_prep_vma(), mm/mremap.c: vrm_remap_type()). */
function vrm_populate_calculated(vrm: vma_remap_struct): void {
  vrm.delta = Math.abs(vrm.old_len - vrm.new_len);
  vrm.remap_type = vrm.delta === 0 ? MREMAP_NO_RESIZE : vrm.old_len > vrm.new_len ? MREMAP_SHRINK : MREMAP_EXPAND;
}

/** mm/mremap.c: vrm_overlaps() */
function vrm_overlaps(vrm: vma_remap_struct): boolean {
  return (vrm.addr + vrm.old_len) % 2 ** 64 > vrm.new_addr && vrm.new_addr + vrm.new_len > vrm.addr;
}

/** mm/mremap.c: vrm_implies_new_addr() */
function vrm_implies_new_addr(vrm: vma_remap_struct): boolean {
  return (vrm.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;
}

/** Chooses the destination. Returns 0 or -errno (mm/mremap.c: vrm_set_new_addr()). */
function vrm_set_new_addr(m: Machine, vrm: vma_remap_struct): number {
  const vma = vrm.vma as vm_area_struct;
  const pgoff = linear_page_index(vma, vrm.addr);
  const new_addr = vrm_implies_new_addr(vrm) ? vrm.new_addr : 0;
  const map_flags = (vrm.flags & MREMAP_FIXED ? MAP_FIXED : 0) | (vma.vm_flags & VM_MAYSHARE ? MAP_SHARED : 0);
  const res = get_unmapped_area(m, vma.vm_file, new_addr, vrm.new_len, pgoff, map_flags);
  if (res < 0) return res;
  vrm.new_addr = res;
  return 0;
}

/** Charges the additional pages; false without memory (mm/mremap.c: vrm_calc_charge()). */
function vrm_calc_charge(m: Machine, vrm: vma_remap_struct): boolean {
  const vma = vrm.vma as vm_area_struct;
  if ((vma.vm_flags & VM_ACCOUNT) === 0) return true;
  const charged = (vrm.flags & MREMAP_DONTUNMAP ? vrm.new_len : vrm.delta) / PAGE_SIZE;
  if (security_vm_enough_memory_mm(m, vma.vm_mm, charged)) return false;
  vrm.charged = charged;
  return true;
}

/** mm/mremap.c: vrm_uncharge() */
function vrm_uncharge(m: Machine, vrm: vma_remap_struct): void {
  if (((vrm.vma as vm_area_struct).vm_flags & VM_ACCOUNT) === 0) return;
  vm_unacct_memory(m, vrm.charged);
  vrm.charged = 0;
}

/** mm/mremap.c: vrm_stat_account() */
function vrm_stat_account(vrm: vma_remap_struct, bytes: number): void {
  const vma = vrm.vma as vm_area_struct;
  vm_stat_account(vma.vm_mm, vma.vm_flags, bytes / PAGE_SIZE);
  if (vma.vm_flags & VM_LOCKED) vma.vm_mm.locked_vm += bytes / PAGE_SIZE;
}

/**
 * Returns true if the splits of a move keep the number of vmas within its limit (mm/mremap.c:
 * __check_map_count_against_split()).
 */
function check_map_count(mm: mm_struct, pre_split: boolean, before_unmaps: boolean): boolean {
  return mm.mm_mt.length + (before_unmaps ? 2 : 0) + 2 + (pre_split ? 1 : 0) <= sysctl_max_map_count;
}

/**
 * Returns true for MREMAP_DONTUNMAP of a locked vma, whose remaining part is unlocked and so must be split
 * (mm/mremap.c: needs_pre_split()).
 */
function needs_pre_split(vrm: vma_remap_struct): boolean {
  return (vrm.flags & MREMAP_DONTUNMAP) !== 0 && ((vrm.vma as vm_area_struct).vm_flags & VM_LOCKED) !== 0;
}

/** Leaves out KSM (mm/mremap.c: prep_move_vma()). */
function* prep_move_vma(m: Machine, vrm: vma_remap_struct): Gen<number> {
  const vma = vrm.vma as vm_area_struct;
  const old_addr = vrm.addr;
  const old_end = old_addr + vrm.old_len;
  const split_before = vma.vm_start !== old_addr;
  const split_after = vma.vm_end !== old_end;
  if (!check_map_count(vma.vm_mm, needs_pre_split(vrm), false)) return -ENOMEM;
  let err = 0;
  if (vma.vm_ops?.may_split !== undefined) {
    if (split_before) err = vma.vm_ops.may_split(m, vma, old_addr);
    if (!err && split_after) err = vma.vm_ops.may_split(m, vma, old_end);
    if (err) return err;
  }
  if (needs_pre_split(vrm)) {
    const vmi = new vma_iterator(vma.vm_mm, old_addr);
    if (split_before) err = yield* split_vma(m, vmi, vma, old_addr, true);
    if (!err && split_after) err = yield* split_vma(m, vmi, vma, old_end, false);
  }
  return err;
}

/** Unmaps the source of a move without uncharging what the destination took over (mm/mremap.c: unmap_source_vma()). */
function* unmap_source_vma(m: Machine, vrm: vma_remap_struct): Gen<void> {
  const vma = vrm.vma as vm_area_struct;
  const mm = vma.vm_mm;
  const addr = vrm.addr;
  const len = vrm.old_len;
  const vmi = new vma_iterator(mm, addr);
  const accountable_move = (vma.vm_flags & VM_ACCOUNT) !== 0 && (vrm.flags & MREMAP_DONTUNMAP) === 0;
  const vm_start = vma.vm_start;
  const vm_end = vma.vm_end;
  if (accountable_move) vma.vm_flags &= ~VM_ACCOUNT;
  const err = yield* do_vmi_munmap(m, vmi, mm, addr, len, vrm.uf_unmap, false);
  vrm.vma = null;
  if (err) {
    m.vm_committed_as += len / PAGE_SIZE;
    return;
  }
  if (!accountable_move) return;
  if (vm_start < addr) {
    const prev = vma_prev(vmi) as vm_area_struct;
    yield* vma_start_write(m, prev);
    prev.vm_flags |= VM_ACCOUNT;
  }
  if (vm_end > addr + len) {
    const next = vma_next(vmi) as vm_area_struct;
    yield* vma_start_write(m, next);
    next.vm_flags |= VM_ACCOUNT;
  }
}

/**
 * Creates the destination vma and moves the page tables. On an error it moves them back and makes the destination the
 * range to unmap (mm/mremap.c: copy_vma_and_data()).
 */
function* copy_vma_and_data(m: Machine, vrm: vma_remap_struct): Gen<{ err: number; new_vma: vm_area_struct | null }> {
  const source = vrm.vma as vm_area_struct;
  const { new_vma, vma, need_rmap_locks } = yield* copy_vma(
    m,
    source,
    vrm.new_addr,
    vrm.new_len,
    linear_page_index(source, vrm.addr),
    linear_anon_page_index(source, vrm.addr),
    (vrm.flags & MREMAP_DONTUNMAP) !== 0,
  );
  if (new_vma === null) {
    vrm_uncharge(m, vrm);
    return { err: -ENOMEM, new_vma };
  }
  vrm.vma = vma;
  const pmc = new pagetable_move_control(vma, new_vma, vrm.addr, vrm.new_addr, vrm.old_len);
  pmc.need_rmap_locks = need_rmap_locks;
  const moved_len = yield* move_page_tables(m, pmc);
  let err = 0;
  if (moved_len < vrm.old_len) {
    err = -ENOMEM;
    const revert = new pagetable_move_control(new_vma, vma, vrm.new_addr, vrm.addr, moved_len);
    revert.need_rmap_locks = true;
    yield* move_page_tables(m, revert);
    if ((vrm.flags & MREMAP_DONTUNMAP) === 0) vrm_uncharge(m, vrm);
    vrm.vma = new_vma;
    vrm.old_len = vrm.new_len;
    vrm.addr = vrm.new_addr;
  } else {
    mremap_userfaultfd_prep(m, new_vma, vrm.uf);
  }
  if (is_vm_hugetlb_page(vrm.vma)) yield* fixup_hugetlb_reservations(m, vrm.vma);
  return { err, new_vma };
}

/**
 * Resets a source that MREMAP_DONTUNMAP moved completely to a vma that was never faulted (mm/mremap.c:
 * dontunmap_complete()).
 */
function* dontunmap_complete(m: Machine, vrm: vma_remap_struct, new_vma: vm_area_struct): Gen<void> {
  const vma = vrm.vma as vm_area_struct;
  WARN_ON_ONCE(m, new_vma === vma, 'dontunmap_complete');
  vma.vm_flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
  if (vrm.addr !== vma.vm_start || vrm.addr + vrm.old_len !== vma.vm_end) return;
  yield* unlink_anon_vmas(m, vma);
  vma.vm_anon_pgoff = vma.vm_start / PAGE_SIZE;
  if (vma_is_anonymous(vma) && vma.vm_file === null) vma.vm_pgoff = vma.vm_start / PAGE_SIZE;
}

/** Moves the vma's range. Returns the new address or -errno (mm/mremap.c: move_vma()). */
function* move_vma(m: Machine, vrm: vma_remap_struct): Gen<number> {
  const is_dontunmap = (vrm.flags & MREMAP_DONTUNMAP) !== 0;
  const bad = yield* prep_move_vma(m, vrm);
  if (bad) return bad;
  if (!vrm_calc_charge(m, vrm)) return -ENOMEM;
  yield* vma_start_write(m, vrm.vma as vm_area_struct);
  const { err, new_vma } = yield* copy_vma_and_data(m, vrm);
  if (new_vma === null) return err;
  if (is_dontunmap && !err) yield* dontunmap_complete(m, vrm, new_vma);
  vrm_stat_account(vrm, vrm.new_len);
  if (!is_dontunmap || err) yield* unmap_source_vma(m, vrm);
  return err ? err : vrm.new_addr;
}

/** Unmaps the end of a shrinking vma (mm/mremap.c: shrink_vma()). */
function* shrink_vma(m: Machine, vrm: vma_remap_struct, drop_lock: boolean): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const unmap_start = vrm.addr + vrm.new_len;
  BUG_ON(vrm.remap_type !== MREMAP_SHRINK, 'mm/mremap.c: shrink_vma()');
  const res = yield* do_vmi_munmap(
    m,
    new vma_iterator(mm, unmap_start),
    mm,
    unmap_start,
    vrm.delta,
    vrm.uf_unmap,
    drop_lock,
  );
  vrm.vma = null;
  if (res) return res;
  if (drop_lock) {
    vrm.mmap_locked = false;
    return 0;
  }
  vrm.vma = vma_lookup(mm, vrm.addr);
  return vrm.vma === null ? -EFAULT : 0;
}

/** Moves to the given address, or with MREMAP_DONTUNMAP alone to one near it (mm/mremap.c: mremap_to()). */
function* mremap_to(m: Machine, vrm: vma_remap_struct): Gen<number> {
  const mm = m.current.mm as mm_struct;
  if (vrm.flags & MREMAP_FIXED) {
    const err = yield* do_munmap(m, mm, vrm.new_addr, vrm.new_len, vrm.uf_unmap_early);
    vrm.vma = null;
    if (err) return err;
    vrm.vma = vma_lookup(mm, vrm.addr);
    if (vrm.vma === null) return -EFAULT;
  }
  if (vrm.remap_type === MREMAP_SHRINK) {
    const err = yield* shrink_vma(m, vrm, false);
    if (err) return err;
    vrm.old_len = vrm.new_len;
    vrm_populate_calculated(vrm);
  }
  const err = vrm_set_new_addr(m, vrm);
  if (err) return err;
  return yield* move_vma(m, vrm);
}

/** mm/mremap.c: vma_expandable() */
function vma_expandable(m: Machine, vma: vm_area_struct, delta: number): boolean {
  const end = vma.vm_end + delta;
  if (find_vma_intersection(vma.vm_mm, vma.vm_end, end) !== null) return false;
  return get_unmapped_area(m, null, vma.vm_start, end - vma.vm_start, 0, MAP_FIXED) >= 0;
}

/** Expands the vma in place, or moves it to a larger gap (mm/mremap.c: expand_vma()). */
function* expand_vma(m: Machine, vrm: vma_remap_struct): Gen<number> {
  const vma = vrm.vma as vm_area_struct;
  if (vma.vm_end - vrm.addr === vrm.old_len && vma_expandable(m, vma, vrm.delta)) {
    if (!vrm_calc_charge(m, vrm)) return -ENOMEM;
    const grown = yield* vma_merge_extend(m, new vma_iterator(vma.vm_mm, vma.vm_end), vma, vrm.delta);
    if (grown === null) {
      vrm_uncharge(m, vrm);
      return -ENOMEM;
    }
    vrm.vma = grown;
    vrm_stat_account(vrm, vrm.delta);
    return vrm.addr;
  }
  if ((vrm.flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
  const err = vrm_set_new_addr(m, vrm);
  if (err) return err;
  return yield* move_vma(m, vrm);
}

/** mm/mremap.c: mremap_at() */
function* mremap_at(m: Machine, vrm: vma_remap_struct): Gen<number> {
  if (vrm.remap_type === MREMAP_EXPAND) return yield* expand_vma(m, vrm);
  if (vrm.remap_type === MREMAP_SHRINK) {
    const res = yield* shrink_vma(m, vrm, true);
    if (res) return res;
  }
  return vrm.addr;
}

/**
 * Rounds the lengths to huge pages. Returns false for unaligned addresses or a growing range (mm/mremap.c:
 * align_hugetlb()).
 */
function align_hugetlb(m: Machine, vrm: vma_remap_struct): boolean {
  const size = huge_page_size(hstate_vma(m, vrm.vma as vm_area_struct));
  vrm.old_len = ALIGN(vrm.old_len, size) % 2 ** 64;
  vrm.new_len = ALIGN(vrm.new_len, size);
  return vrm.addr % size === 0 && vrm.new_addr % size === 0 && vrm.new_len <= vrm.old_len;
}

/** Checks the vma against the request (mm/mremap.c: check_prep_vma()). */
function check_prep_vma(m: Machine, vrm: vma_remap_struct): number {
  const vma = vrm.vma;
  if (vma === null) return -EFAULT;
  if (vma_is_sealed(vma)) return -EPERM;
  if (is_vm_hugetlb_page(vma) && !align_hugetlb(m, vrm)) return -EINVAL;
  vrm_populate_calculated(vrm);
  if (!vrm_implies_new_addr(vrm)) vrm.new_addr = vrm.addr;
  if (vrm.remap_type !== MREMAP_EXPAND && !vrm_implies_new_addr(vrm)) return 0;
  let old_len = vrm.old_len;
  if (old_len === 0 && (vma.vm_flags & (VM_SHARED | VM_MAYSHARE)) === 0) {
    if (m.log.first('check_prep_vma')) {
      printk(
        m,
        `${m.current.comm} (${m.current.pid}): attempted to duplicate a private mapping with mremap.  This is not supported.`,
      );
    }
    return -EINVAL;
  }
  if (vrm.flags & MREMAP_DONTUNMAP && vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP)) return -EINVAL;
  if (vrm.remap_type === MREMAP_SHRINK) old_len = vrm.new_len;
  if (old_len > vma.vm_end - vrm.addr) return -EFAULT;
  if (vrm.new_len === old_len) return 0;
  if (vma.vm_flags & VM_LOCKED) vrm.populate_expand = true;
  if (vma.vm_flags & (VM_DONTEXPAND | VM_PFNMAP)) return -EFAULT;
  return 0;
}

/** Checks the arguments (mm/mremap.c: check_mremap_params()). */
function check_mremap_params(vrm: vma_remap_struct): number {
  if (vrm.flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) return -EINVAL;
  if (vrm.addr % PAGE_SIZE !== 0) return -EINVAL;
  if (vrm.new_len === 0) return -EINVAL;
  if (vrm.new_len > TASK_SIZE) return -EINVAL;
  if (!vrm_implies_new_addr(vrm)) return 0;
  if (vrm.new_addr > TASK_SIZE - vrm.new_len) return -EINVAL;
  if (vrm.new_addr % PAGE_SIZE !== 0) return -EINVAL;
  if ((vrm.flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
  if (vrm.flags & MREMAP_DONTUNMAP && vrm.old_len !== vrm.new_len) return -EINVAL;
  return vrm_overlaps(vrm) ? -EINVAL : 0;
}

/**
 * Returns true if the vma may move together with others: it has no userfaultfd and its file does not choose addresses
 * (mm/mremap.c: vma_multi_allowed()).
 */
function vma_multi_allowed(vma: vm_area_struct): boolean {
  if (userfaultfd_armed(vma)) return false;
  const get_area = vma.vm_file?.f_op.get_unmapped_area;
  return get_area === undefined || vma_is_shmem(vma) || is_vm_hugetlb_page(vma) || get_area === thp_get_unmapped_area;
}

/**
 * Moves every vma in the range and keeps the gaps between them. Returns the first one's new address or -errno
 * (mm/mremap.c: remap_move()).
 */
function* remap_move(m: Machine, vrm: vma_remap_struct): Gen<number> {
  const start = vrm.addr;
  const end = vrm.addr + vrm.old_len;
  const new_addr = vrm.new_addr;
  let target_addr = new_addr;
  let res = -EFAULT;
  let last_end = 0;
  let seen_vma = false;
  const vmi = new vma_iterator(m.current.mm as mm_struct, start);
  for (let vma = vma_find(vmi, end); vma !== null; vma = vma_find(vmi, end)) {
    const addr = Math.max(vma.vm_start, start);
    const len = Math.min(end, vma.vm_end) - addr;
    if (!seen_vma && start < vma.vm_start) return -EFAULT;
    const offset = seen_vma ? vma.vm_start - last_end : 0;
    last_end = vma.vm_end;
    vrm.vma = vma;
    vrm.addr = addr;
    vrm.new_addr = target_addr + offset;
    vrm.old_len = vrm.new_len = len;
    const multi_allowed = vma_multi_allowed(vma);
    if (!multi_allowed && (seen_vma || vma.vm_end < end)) return -EFAULT;

    let res_vma = check_prep_vma(m, vrm);
    if (!res_vma) res_vma = yield* mremap_to(m, vrm);
    if (res_vma < 0) return res_vma;
    if (!seen_vma) {
      WARN_ON_ONCE(m, multi_allowed && res_vma !== new_addr, 'remap_move');
      res = res_vma;
    }
    WARN_ON_ONCE(m, !vrm.mmap_locked || vrm.populate_expand, 'remap_move');
    seen_vma = true;
    target_addr = res_vma + vrm.new_len;
  }
  return res;
}

/** mm/mremap.c: do_mremap() */
function* do_mremap(m: Machine, vrm: vma_remap_struct): Gen<number> {
  const mm = m.current.mm as mm_struct;
  vrm.old_len = PAGE_ALIGN(vrm.old_len) % 2 ** 64;
  vrm.new_len = PAGE_ALIGN(vrm.new_len) % 2 ** 64;
  const bad = check_mremap_params(vrm);
  if (bad) return bad;
  if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  vrm.mmap_locked = true;
  if (!check_map_count(mm, (vrm.flags & MREMAP_DONTUNMAP) !== 0, true)) {
    mmap_write_unlock(m, mm);
    return -ENOMEM;
  }
  let res: number;
  if (vrm.flags & MREMAP_FIXED && vrm.old_len === vrm.new_len) {
    res = yield* remap_move(m, vrm);
  } else {
    vrm.vma = vma_lookup(mm, vrm.addr);
    res = check_prep_vma(m, vrm);
    if (!res) res = vrm_implies_new_addr(vrm) ? yield* mremap_to(m, vrm) : yield* mremap_at(m, vrm);
  }
  const failed = res < 0;
  if (vrm.mmap_locked) mmap_write_unlock(m, mm);
  if (!failed && vrm.populate_expand) yield* mm_populate(m, vrm.new_addr + vrm.old_len, vrm.delta);
  yield* userfaultfd_unmap_complete(m, mm, vrm.uf_unmap_early);
  if (failed) mremap_userfaultfd_fail(m, vrm.uf);
  else yield* mremap_userfaultfd_complete(m, vrm.uf, vrm.addr, vrm.new_addr, vrm.old_len);
  yield* userfaultfd_unmap_complete(m, mm, vrm.uf_unmap);
  return res;
}

/**
 * The mremap system call. Returns the new address or -errno (mm/mremap.c: mremap()). Leaves out resource limits and
 * sealing.
 */
export function* sys_mremap(
  m: Machine,
  addr: number,
  old_len: number,
  new_len: number,
  flags: number,
  new_addr: number,
): Gen<number> {
  return yield* do_mremap(m, new vma_remap_struct(addr, old_len, new_len, flags, new_addr));
}
