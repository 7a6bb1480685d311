// SPDX-License-Identifier: GPL-2.0-only

import {
  pmd_index,
  pmd_none,
  pmd_present,
  PMD_SIZE,
  pmd_trans_huge,
  type ptdesc,
  pte_clear_uffd,
  pte_mksoft_dirty,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { pmdp_huge_get_and_clear, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import { flush_pmd_tlb_range } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { pmd_is_migration_entry } from '../leafops.ts';
import { type mm_struct, type vm_area_struct, vma_is_anonymous } from '../mm_types.ts';
import { pgtable_trans_huge_deposit, pgtable_trans_huge_withdraw } from '../pgtable-generic.ts';
import { userfaultfd_rwp, vma_has_uffd_without_event_remap } from '../userfaultfd/userfaultfd.ts';
import { __pmd_trans_huge_lock } from './pmd_lock.ts';

/** Marks a moved pmd soft-dirty if it is present or a migration entry (mm/huge_memory.c: move_soft_dirty_pmd()). */
function move_soft_dirty_pmd(pmd: number): number {
  return pmd_is_migration_entry(pmd) || pmd_present(pmd) ? pte_mksoft_dirty(pmd) : pmd;
}

/**
 * Moves a huge pmd, present or not, to an empty slot of another pmd table. Returns false if the old pmd is not huge or
 * the slot is taken (mm/huge_memory.c: move_huge_pmd()).
 */
export function* move_huge_pmd(
  m: Machine,
  vma: vm_area_struct,
  old_addr: number,
  new_addr: number,
  old_pmdt: ptdesc,
  new_pmdt: ptdesc,
): Gen<boolean> {
  const mm = vma.vm_mm;
  const old_pi = pmd_index(old_addr);
  const new_pi = pmd_index(new_addr);
  const there = new_pmdt.entry[new_pi];
  if (!pmd_none(there)) {
    BUG_ON(pmd_trans_huge(there), 'mm/huge_memory.c: move_huge_pmd()');
    return false;
  }
  if (!(yield* __pmd_trans_huge_lock(m, old_pmdt, old_pi, vma))) return false;
  if (new_pmdt !== old_pmdt) yield* spin_lock(m, new_pmdt.ptl);
  let pmd = pmdp_huge_get_and_clear(m, mm, old_addr, old_pmdt, old_pi);
  const force_flush = pmd_present(pmd);
  BUG_ON(!pmd_none(new_pmdt.entry[new_pi]), 'mm/huge_memory.c: move_huge_pmd()');
  // The deposited page table belongs to the pmd table, so it moves too. Only anonymous vmas deposit one.
  if (new_pmdt !== old_pmdt && vma_is_anonymous(vma)) {
    pgtable_trans_huge_deposit(m, mm, new_pmdt, new_pi, pgtable_trans_huge_withdraw(m, mm, old_pmdt, old_pi));
  }
  pmd = move_soft_dirty_pmd(pmd);
  if (vma_has_uffd_without_event_remap(vma)) {
    if (userfaultfd_rwp(vma)) throw new Unmodelled('move_huge_pmd: userfaultfd_rwp');
    pmd = pte_clear_uffd(pmd);
  }
  set_pmd_at(m, mm, new_addr, new_pmdt, new_pi, pmd);
  if (force_flush) flush_pmd_tlb_range(m, vma, old_addr, old_addr + PMD_SIZE);
  if (new_pmdt !== old_pmdt) spin_unlock(m, new_pmdt.ptl);
  spin_unlock(m, old_pmdt.ptl);
  return true;
}

/** UFFDIO_MOVE of a huge pmd; Unmodelled (mm/huge_memory.c: move_pages_huge_pmd()). */
export function* move_pages_huge_pmd(
  _m: Machine,
  _mm: mm_struct,
  _dst_pmdt: ptdesc,
  _dst_pi: number,
  _src_pmdt: ptdesc,
  _src_pi: number,
): Gen<number> {
  throw new Unmodelled('move_pages_huge_pmd');
}
