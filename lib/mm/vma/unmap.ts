// SPDX-License-Identifier: GPL-2.0-only

import { PAGE_ALIGN, TASK_SIZE } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EINTR, EINVAL, ENOMEM, EPERM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { WARN_ON } from '../../kernel/printk.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { free_pgtables } from '../memory/free_pgtables.ts';
import { unmap_vmas } from '../memory/zap.ts';
import { type mm_struct, VM_ACCOUNT, type vm_area_struct, VM_LOCKED, vma_pages } from '../mm_types.ts';
import {
  mmap_read_unlock,
  mmap_write_downgrade,
  mmap_write_lock_killable,
  mmap_write_unlock,
  vma_mark_attached,
  vma_mark_detached,
  vma_start_write,
} from '../mmap_lock.ts';
import { mmu_gather, tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { PAGE_SIZE } from '../physmem.ts';
import {
  userfaultfd_unmap_complete,
  type userfaultfd_unmap_ctxs,
  userfaultfd_unmap_prep,
} from '../userfaultfd/userfaultfd.ts';
import { vm_unacct_memory } from '../util.ts';
import { __split_vma, sysctl_max_map_count } from './merge.ts';
import {
  is_data_mapping,
  is_exec_mapping,
  is_stack_mapping,
  remove_vma,
  vma_close,
  vma_erase,
  vma_find,
  vma_is_sealed,
  vma_iter_at,
  vma_iter_set,
  vma_iterator,
  vma_next,
  vma_prev,
} from './vma.ts';

/** end of user page tables for free_pgtables(), 0 for none (include/linux/pgtable.h: USER_PGTABLES_CEILING) */
const USER_PGTABLES_CEILING = 0;

/**
 * The vmas to unmap, which may be detached already, and the range of page tables to free (mm/vma.h: struct unmap_desc).
 */
export interface unmap_desc {
  /** sorted by address (upstream: a maple state) */
  readonly vmas: readonly vm_area_struct[];
  /** start of the range whose page tables may be freed */
  readonly pg_start: number;
  /** end of the range whose page tables may be freed, 0 for no limit */
  readonly pg_end: number;
  readonly vma_start: number;
  readonly vma_end: number;
  mm_wr_locked: boolean;
}

/** State of a munmap (mm/vma.h: struct vma_munmap_struct). */
export class vma_munmap_struct {
  readonly vmi: vma_iterator;
  vma: vm_area_struct | null;
  prev: vm_area_struct | null = null;
  next: vm_area_struct | null = null;
  readonly uf: userfaultfd_unmap_ctxs | null;
  readonly start: number;
  readonly end: number;
  unmap_start = 0;
  unmap_end = USER_PGTABLES_CEILING;
  /** the vmas to unmap (upstream: a maple tree of their own) */
  readonly detached: vm_area_struct[] = [];
  readonly unlock: boolean;
  clear_ptes = false;
  nr_pages = 0;
  locked_vm = 0;
  nr_accounted = 0;
  exec_vm = 0;
  stack_vm = 0;
  data_vm = 0;
  constructor(
    vmi: vma_iterator,
    vma: vm_area_struct | null,
    start: number,
    end: number,
    uf: userfaultfd_unmap_ctxs | null,
    unlock: boolean,
  ) {
    this.vmi = vmi;
    this.vma = vma;
    this.start = vma === null ? 0 : start;
    this.end = vma === null ? 0 : end;
    this.uf = uf;
    this.unlock = unlock;
  }
}

/** Unmaps the pages of the vmas and frees their page tables (mm/vma.c: unmap_region()). */
export function* unmap_region(m: Machine, unmap: unmap_desc): Gen<void> {
  const first = unmap.vmas[0];
  if (first === undefined) return;
  const tlb = new mmu_gather();
  tlb_gather_mmu(m, tlb, first.vm_mm);
  yield* unmap_vmas(m, tlb, unmap);
  yield* free_pgtables(m, tlb, unmap);
  if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
  tlb_finish_mmu(m, tlb);
}

/** mm/vma.c: vms_clear_ptes() */
function* vms_clear_ptes(m: Machine, vms: vma_munmap_struct, mm_wr_locked: boolean): Gen<void> {
  if (!vms.clear_ptes) return;
  yield* unmap_region(m, {
    vmas: vms.detached,
    pg_start: vms.unmap_start,
    pg_end: vms.unmap_end,
    vma_start: vms.start,
    vma_end: vms.end,
    mm_wr_locked,
  });
  vms.clear_ptes = false;
}

/**
 * Unmaps the pages of the gathered vmas and closes the vmas, which are still in the mm (mm/vma.c: vms_clean_up_area()).
 */
export function* vms_clean_up_area(m: Machine, vms: vma_munmap_struct): Gen<void> {
  if (vms.nr_pages === 0) return;
  yield* vms_clear_ptes(m, vms, true);
  for (const vma of vms.detached) yield* vma_close(m, vma);
}

/** Frees the gathered vmas after they left the mm; may drop the mmap_lock (mm/vma.c: vms_complete_munmap_vmas()). */
export function* vms_complete_munmap_vmas(m: Machine, vms: vma_munmap_struct): Gen<void> {
  const mm = m.current.mm as mm_struct;
  mm.locked_vm -= vms.locked_vm;
  if (vms.unlock) mmap_write_downgrade(m, mm);
  if (vms.nr_pages === 0) return;
  yield* vms_clear_ptes(m, vms, !vms.unlock);
  mm.total_vm -= vms.nr_pages;
  WARN_ON(
    m,
    vms.exec_vm > mm.exec_vm || vms.stack_vm > mm.stack_vm || vms.data_vm > mm.data_vm,
    'vms_complete_munmap_vmas',
  );
  mm.exec_vm -= vms.exec_vm;
  mm.stack_vm -= vms.stack_vm;
  mm.data_vm -= vms.data_vm;
  for (const vma of vms.detached) yield* remove_vma(m, vma);
  vm_unacct_memory(m, vms.nr_accounted);
  if (vms.unlock) mmap_read_unlock(m, mm);
}

/** mm/vma.c: reattach_vmas() */
function reattach_vmas(vms: vma_munmap_struct): void {
  for (const vma of vms.detached) vma_mark_attached(vma);
  vms.detached.length = 0;
}

/**
 * Splits the first and last vma at [start, end) and detaches all vmas in it, which stay in the mm's array until the
 * caller erases them. On an error no vma is detached, but splits remain (mm/vma.c: vms_gather_munmap_vmas()).
 */
export function* vms_gather_munmap_vmas(m: Machine, vms: vma_munmap_struct): Gen<number> {
  const vmi = vms.vmi;
  const first = vms.vma as vm_area_struct;
  const mm = first.vm_mm;
  if (vms.start > first.vm_start) {
    if (vms.end < first.vm_end && mm.mm_mt.length >= sysctl_max_map_count) return -ENOMEM;
    if (vma_is_sealed(first)) return -EPERM;
    const error = yield* __split_vma(m, vmi, first, vms.start, true);
    if (error) return error;
  }
  vma_iter_at(vmi, first);
  vms.prev = vma_prev(vmi);
  if (vms.prev !== null) vms.unmap_start = vms.prev.vm_end;

  for (let next = vma_find(vmi, vms.end); next !== null; next = vma_find(vmi, vms.end)) {
    if (vma_is_sealed(next)) {
      reattach_vmas(vms);
      return -EPERM;
    }
    if (next.vm_end > vms.end) {
      const error = yield* __split_vma(m, vmi, next, vms.end, false);
      if (error) {
        reattach_vmas(vms);
        return error;
      }
    }
    yield* vma_start_write(m, next);
    vms.detached.push(next);
    vma_mark_detached(next);
    const nrpages = vma_pages(next);
    vms.nr_pages += nrpages;
    if (next.vm_flags & VM_LOCKED) vms.locked_vm += nrpages;
    if (next.vm_flags & VM_ACCOUNT) vms.nr_accounted += nrpages;
    if (is_exec_mapping(next.vm_flags)) vms.exec_vm += nrpages;
    else if (is_stack_mapping(next.vm_flags)) vms.stack_vm += nrpages;
    else if (is_data_mapping(next.vm_flags)) vms.data_vm += nrpages;
    if (vms.uf !== null) {
      const error = userfaultfd_unmap_prep(m, next, vms.start, vms.end, vms.uf);
      if (error) {
        reattach_vmas(vms);
        return error;
      }
    }
  }
  vms.next = vma_next(vmi);
  if (vms.next !== null) vms.unmap_end = vms.next.vm_start;
  vma_iter_set(vmi, vms.start);
  vms.clear_ptes = true;
  return 0;
}

/**
 * Aborts a munmap: reattaches the vmas, or leaves a gap if they are unmapped and closed already (mm/vma.c:
 * vms_abort_munmap_vmas()).
 */
export function* vms_abort_munmap_vmas(m: Machine, vms: vma_munmap_struct): Gen<void> {
  if (vms.nr_pages === 0) return;
  if (vms.clear_ptes) {
    reattach_vmas(vms);
    return;
  }
  vma_erase(vms.vmi.mm, vms.detached);
  yield* vms_complete_munmap_vmas(m, vms);
}

/**
 * Unmaps the page-aligned range of `vms`, which init_vma_munmap() set up. Drops the mmap_lock on success if vms.unlock
 * (mm/vma.c: do_vmi_align_munmap()).
 */
export function* do_vmi_align_munmap(m: Machine, vms: vma_munmap_struct): Gen<number> {
  const error = yield* vms_gather_munmap_vmas(m, vms);
  if (error) return error;
  vma_erase(vms.vmi.mm, vms.detached);
  yield* vms_complete_munmap_vmas(m, vms);
  return 0;
}

/** Unmaps a range. Returns -EINVAL if it is unaligned, empty or beyond user space (mm/vma.c: do_vmi_munmap()). */
export function* do_vmi_munmap(
  m: Machine,
  vmi: vma_iterator,
  mm: mm_struct,
  start: number,
  len: number,
  uf: userfaultfd_unmap_ctxs | null,
  unlock: boolean,
): Gen<number> {
  if (start % PAGE_SIZE !== 0 || start > TASK_SIZE || len > TASK_SIZE - start) return -EINVAL;
  const end = start + PAGE_ALIGN(len);
  if (end === start) return -EINVAL;
  const vma = vma_find(vmi, end);
  if (vma === null) {
    if (unlock) mmap_write_unlock(m, mm);
    return 0;
  }
  return yield* do_vmi_align_munmap(m, new vma_munmap_struct(vmi, vma, start, end, uf, unlock));
}

/**
 * Takes the mmap_lock and unmaps; with `unlock` page tables are freed under the read lock (mm/vma.c: __vm_munmap()).
 */
export function* __vm_munmap(m: Machine, start: number, len: number, unlock: boolean): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const uf: userfaultfd_unmap_ctxs = [];
  if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  const ret = yield* do_vmi_munmap(m, new vma_iterator(mm, start), mm, start, len, uf, unlock);
  if (ret || !unlock) mmap_write_unlock(m, mm);
  yield* userfaultfd_unmap_complete(m, mm, uf);
  return ret;
}
