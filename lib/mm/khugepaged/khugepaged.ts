// SPDX-License-Identifier: GPL-2.0-only
// MADV_COLLAPSE and registration with khugepaged. The daemon itself is not modelled.

import { ALIGN, ALIGN_DOWN, HPAGE_PMD_ORDER, HPAGE_PMD_SIZE } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EBUSY, EINVAL, ENOMEM } from '../../errno.ts';
import { mmdrop, mmgrab } from '../../kernel/fork/mm_init.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { cond_resched } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { lru_add_drain_all } from '../folio.ts';
import {
  hugepage_global_enabled,
  THP_ORDERS_ALL_ANON,
  thp_vma_allowable_orders,
  TVA_FORCED_COLLAPSE,
  TVA_KHUGEPAGED,
} from '../huge_memory/sysfs.ts';
import {
  type mm_struct,
  MMF_VM_HUGEPAGE,
  type vm_area_struct,
  VM_HUGEPAGE,
  VM_NOHUGEPAGE,
  vma_is_anonymous,
} from '../mm_types.ts';
import { mmap_assert_locked, mmap_read_lock } from '../mmap_lock.ts';
import { type collapse_control, collapse_scan_pmd, hugepage_vma_revalidate, scan_result } from './collapse.ts';

const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;

/**
 * Applies the advice to vm_flags, which the caller stores in the vma. Returns 0 (mm/khugepaged.c: hugepage_madvise()).
 */
export function hugepage_madvise(m: Machine, vma: vm_area_struct, vm_flags: { val: number }, advice: number): number {
  if (advice === MADV_HUGEPAGE) vm_flags.val = (vm_flags.val & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
  else if (advice === MADV_NOHUGEPAGE) vm_flags.val = (vm_flags.val & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
  return 0;
}

/** mm/khugepaged.c: hugepage_enabled() */
function hugepage_enabled(m: Machine): boolean {
  const thp = m.thp;
  // shmem_hpage_pmd_enabled(): false with shmem_enabled never or deny, as no shmem order is enabled by itself.
  if (thp.shmem_enabled !== 'never' && thp.shmem_enabled !== 'deny') return true;
  return hugepage_global_enabled(m) || thp.huge_anon_orders_always !== 0 || thp.huge_anon_orders_madvise !== 0;
}

/** mm/khugepaged.c: collapse_possible() */
function collapse_possible(m: Machine, vma: vm_area_struct, vm_flags: number, tva_flags: number): boolean {
  const anon_scan = tva_flags === TVA_KHUGEPAGED && vma_is_anonymous(vma);
  return (
    thp_vma_allowable_orders(m, vma, vm_flags, tva_flags, anon_scan ? THP_ORDERS_ALL_ANON : 1 << HPAGE_PMD_ORDER) !== 0
  );
}

/** mm/khugepaged.c: __khugepaged_enter() */
function __khugepaged_enter(mm: mm_struct): void {
  if (mm.flags & MMF_VM_HUGEPAGE) return;
  mm.flags |= MMF_VM_HUGEPAGE;
  mmgrab(mm);
}

/**
 * Registers the vma's mm with khugepaged if a collapse in the vma is possible (mm/khugepaged.c:
 * khugepaged_enter_vma()).
 */
export function khugepaged_enter_vma(m: Machine, vma: vm_area_struct, vm_flags: number): void {
  if (
    (vma.vm_mm.flags & MMF_VM_HUGEPAGE) === 0 &&
    hugepage_enabled(m) &&
    collapse_possible(m, vma, vm_flags, TVA_KHUGEPAGED)
  ) {
    __khugepaged_enter(vma.vm_mm);
  }
}

/** Registers a child's mm if the parent's is registered (include/linux/khugepaged.h: khugepaged_fork()). */
export function khugepaged_fork(m: Machine, mm: mm_struct, oldmm: mm_struct): void {
  if (oldmm.flags & MMF_VM_HUGEPAGE) __khugepaged_enter(mm);
}

/** Unregisters an exiting mm (include/linux/khugepaged.h: khugepaged_exit()). */
export function khugepaged_exit(m: Machine, mm: mm_struct): void {
  if ((mm.flags & MMF_VM_HUGEPAGE) === 0) return;
  mm.flags &= ~MMF_VM_HUGEPAGE;
  mmdrop(m, mm);
}

/** mm/khugepaged.c: madvise_collapse_errno() */
function madvise_collapse_errno(r: string): number {
  switch (r) {
    case scan_result.SCAN_ALLOC_HUGE_PAGE_FAIL:
      return -ENOMEM;
    case scan_result.SCAN_CGROUP_CHARGE_FAIL:
    case scan_result.SCAN_EXCEED_NONE_PTE:
      return -EBUSY;
    case scan_result.SCAN_PAGE_COUNT:
    case scan_result.SCAN_PAGE_LOCK:
    case scan_result.SCAN_PAGE_LRU:
    case scan_result.SCAN_DEL_PAGE_LRU:
    case scan_result.SCAN_PAGE_FILLED:
    case scan_result.SCAN_PAGE_HAS_PRIVATE:
    case scan_result.SCAN_PAGE_DIRTY_OR_WRITEBACK:
      return -EAGAIN;
    default:
      return -EINVAL;
  }
}

/** results after which madvise_collapse() continues with the next 2 MiB */
const GO_ON: readonly string[] = [
  scan_result.SCAN_NO_PTE_TABLE,
  scan_result.SCAN_PTE_NON_PRESENT,
  scan_result.SCAN_PTE_UFFD,
  scan_result.SCAN_LACK_REFERENCED_PAGE,
  scan_result.SCAN_PAGE_NULL,
  scan_result.SCAN_PAGE_COUNT,
  scan_result.SCAN_PAGE_LOCK,
  scan_result.SCAN_PAGE_COMPOUND,
  scan_result.SCAN_PAGE_LRU,
  scan_result.SCAN_DEL_PAGE_LRU,
];

/** Leaves out files (mm/khugepaged.c: collapse_single_pmd()). */
function* collapse_single_pmd(
  m: Machine,
  addr: number,
  vma: vm_area_struct,
  lock_dropped: { val: boolean },
  cc: collapse_control,
): Gen<string> {
  mmap_assert_locked(vma.vm_mm);
  if (!vma_is_anonymous(vma)) throw new Unmodelled('collapse_scan_file: MADV_COLLAPSE of a file');
  return yield* collapse_scan_pmd(m, vma.vm_mm, vma, addr, lock_dropped, cc);
}

/**
 * MADV_COLLAPSE of [start, end) within the vma, under the mmap read lock, which may be dropped and retaken
 * (lock_dropped). Returns 0 if every aligned 2 MiB are a huge page now, else -EINVAL, -EAGAIN, -ENOMEM or -EBUSY for
 * the last failure (mm/khugepaged.c: madvise_collapse()). Leaves out files.
 */
export function* madvise_collapse(
  m: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  lock_dropped: { val: boolean },
): Gen<number> {
  const mm = vma.vm_mm;
  BUG_ON(vma.vm_start > start, 'mm/khugepaged.c: madvise_collapse()');
  BUG_ON(vma.vm_end < end, 'mm/khugepaged.c: madvise_collapse()');
  if (!collapse_possible(m, vma, vma.vm_flags, TVA_FORCED_COLLAPSE)) return -EINVAL;
  const hstart = ALIGN(start, HPAGE_PMD_SIZE);
  let hend = ALIGN_DOWN(end, HPAGE_PMD_SIZE);
  if (hstart >= hend) return 0;

  const cc: collapse_control = { is_khugepaged: false, progress: 0 };
  let last_fail: string = scan_result.SCAN_FAIL;
  let thps = 0;
  const mmap_unlocked = { val: false };
  let locked = false;
  mmgrab(mm);
  yield* lru_add_drain_all(m);
  for (let addr = hstart; addr < hend; addr += HPAGE_PMD_SIZE) {
    if (mmap_unlocked.val) {
      yield* cond_resched(m);
      yield* mmap_read_lock(m, mm);
      mmap_unlocked.val = false;
      lock_dropped.val = true;
      const r = hugepage_vma_revalidate(m, mm, addr, false, cc, HPAGE_PMD_ORDER);
      if (r.vma !== null) vma = r.vma;
      if (r.result !== scan_result.SCAN_SUCCEED) {
        last_fail = r.result;
        locked = true;
        break;
      }
      hend = Math.min(hend, ALIGN_DOWN(vma.vm_end, HPAGE_PMD_SIZE));
    }
    const result = yield* collapse_single_pmd(m, addr, vma, mmap_unlocked, cc);
    if (result === scan_result.SCAN_SUCCEED || result === scan_result.SCAN_PMD_MAPPED) {
      thps++;
      continue;
    }
    last_fail = result;
    if (!GO_ON.includes(result)) break;
  }
  if (!locked && mmap_unlocked.val) {
    lock_dropped.val = true;
    yield* mmap_read_lock(m, mm);
  }
  mmap_assert_locked(mm);
  mmdrop(m, mm);
  return thps === (hend - hstart) / HPAGE_PMD_SIZE ? 0 : madvise_collapse_errno(last_fail);
}
