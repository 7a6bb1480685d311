// SPDX-License-Identifier: GPL-2.0-only

import { pmd_lock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import { ALIGN, ALIGN_DOWN, HPAGE_PMD_SIZE, pmd_mkwrite, type ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { type vm_area_struct, VM_WRITE } from '../mm_types.ts';
import { split_huge_pmd_address } from './split_pmd.ts';
import { pmd_is_huge } from './sysfs.ts';

/** Sets the write bit if the vma is writable (mm/huge_memory.c: maybe_pmd_mkwrite()). */
export function maybe_pmd_mkwrite(pmd: number, vma: vm_area_struct): number {
  return vma.vm_flags & VM_WRITE ? pmd_mkwrite(pmd) : pmd;
}

/**
 * Locks pmdt.ptl. Returns true with the lock held if the pmd is huge, else false with the lock released
 * (mm/huge_memory.c: __pmd_trans_huge_lock()).
 */
export function* __pmd_trans_huge_lock(m: Machine, pmdt: ptdesc, pi: number, vma: vm_area_struct): Gen<boolean> {
  yield* pmd_lock(m, vma.vm_mm, pmdt);
  if (pmd_is_huge(pmdt.entry[pi])) return true;
  spin_unlock(m, pmdt.ptl);
  return false;
}

/**
 * Tests the pmd without its lock before calling __pmd_trans_huge_lock() (include/linux/huge_mm.h:
 * pmd_trans_huge_lock()).
 */
export function* pmd_trans_huge_lock(m: Machine, pmdt: ptdesc, pi: number, vma: vm_area_struct): Gen<boolean> {
  if (!pmd_is_huge(pmdt.entry[pi])) return false;
  return yield* __pmd_trans_huge_lock(m, pmdt, pi, vma);
}

/** Splits the huge pmd around an address that is not PMD-aligned (mm/huge_memory.c: split_huge_pmd_if_needed()). */
function* split_huge_pmd_if_needed(m: Machine, vma: vm_area_struct, address: number): Gen<void> {
  if (address % HPAGE_PMD_SIZE === 0) return;
  const start = ALIGN_DOWN(address, HPAGE_PMD_SIZE);
  const end = ALIGN(address, HPAGE_PMD_SIZE);
  if (vma.vm_start <= start && end <= vma.vm_end) yield* split_huge_pmd_address(m, vma, address, false);
}

/**
 * Splits the huge pmds that the new boundaries of the vma, or the new start of `next`, cut through (mm/huge_memory.c:
 * vma_adjust_trans_huge()).
 */
export function* vma_adjust_trans_huge(
  m: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  next: vm_area_struct | null,
): Gen<void> {
  yield* split_huge_pmd_if_needed(m, vma, start);
  yield* split_huge_pmd_if_needed(m, vma, end);
  if (next !== null) yield* split_huge_pmd_if_needed(m, next, end);
}
