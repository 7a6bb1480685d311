// SPDX-License-Identifier: GPL-2.0-only

import {
  HPAGE_PMD_NR,
  HPAGE_PMD_SIZE,
  pmd_dirty,
  pmd_index,
  pmd_mkwrite,
  pmd_modify,
  pmd_protnone,
  pmd_write,
  type ptdesc,
  pte_clear_uffd,
  pte_mksoft_dirty,
  pte_mkuffd,
  pte_soft_dirty,
  pte_uffd,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { huge_pmd_needs_flush, pmdp_invalidate_ad, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { Unmodelled } from '../../unmodelled.ts';
import {
  make_readable_device_private_entry_from_page,
  make_readable_exclusive_migration_entry_from_page,
  make_readable_migration_entry_from_page,
  pmd_is_valid_softleaf,
  softleaf_from_pmd,
  softleaf_is_device_private_write,
  softleaf_is_migration_write,
  softleaf_to_flags,
  softleaf_to_page,
  softleaf_to_pmd,
} from '../leafops.ts';
import { vm_normal_page_pmd } from '../memory/fault.ts';
import { type mm_struct, type vm_area_struct, VM_SHARED, VM_WRITE } from '../mm_types.ts';
import { type mmu_gather, tlb_change_page_size, tlb_flush_pmd_range } from '../mmu_gather.ts';
import { MM_CP_PROT_NUMA, MM_CP_TRY_CHANGE_WRITABLE, MM_CP_UFFD_WP, MM_CP_UFFD_WP_RESOLVE } from '../mprotect.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { PageAnon } from '../page.ts';
import { userfaultfd_huge_pmd_wp, userfaultfd_rwp } from '../userfaultfd/userfaultfd.ts';
import { __pmd_trans_huge_lock } from './pmd_lock.ts';

/**
 * Returns true if a pmd of a writable vma may be made writable without a fault (mm/huge_memory.c:
 * can_change_pmd_writable()). Leaves out soft-dirty tracking: nothing modelled starts it (/proc/PID/clear_refs).
 */
export function can_change_pmd_writable(m: Machine, vma: vm_area_struct, addr: number, pmd: number): boolean {
  if (WARN_ON_ONCE(m, (vma.vm_flags & VM_WRITE) === 0, 'can_change_pmd_writable')) return false;
  if (pmd_protnone(pmd)) return false;
  if (userfaultfd_huge_pmd_wp(vma, pmd)) return false;
  if ((vma.vm_flags & VM_SHARED) === 0) {
    const page = vm_normal_page_pmd(m, vma, addr, pmd);
    return page !== 0 && PageAnon(m, page) && PageAnonExclusive(m, page);
  }
  return pmd_dirty(pmd);
}

/**
 * Removes write access from a non-present pmd and updates its uffd bit (mm/huge_memory.c:
 * change_non_present_huge_pmd()).
 */
function change_non_present_huge_pmd(
  m: Machine,
  mm: mm_struct,
  addr: number,
  pmdt: ptdesc,
  pi: number,
  uffd_prot: boolean,
  uffd_prot_resolve: boolean,
): void {
  const pmd = pmdt.entry[pi];
  const entry = softleaf_from_pmd(pmd);
  WARN_ON(m, !pmd_is_valid_softleaf(pmd), 'change_non_present_huge_pmd');
  let newpmd: number;
  if (softleaf_is_migration_write(entry)) {
    const page = softleaf_to_page(m, entry);
    const make = PageAnon(m, page)
      ? make_readable_exclusive_migration_entry_from_page
      : make_readable_migration_entry_from_page;
    newpmd = softleaf_to_pmd(make(m, page, softleaf_to_flags(m, entry)));
    if (pte_soft_dirty(pmd)) newpmd = pte_mksoft_dirty(newpmd);
  } else if (softleaf_is_device_private_write(entry)) {
    newpmd = softleaf_to_pmd(make_readable_device_private_entry_from_page(m, softleaf_to_page(m, entry)));
    if (pte_uffd(pmd)) newpmd = pte_mkuffd(newpmd);
  } else {
    newpmd = pmd;
  }
  if (uffd_prot) newpmd = pte_mkuffd(newpmd);
  else if (uffd_prot_resolve) newpmd = pte_clear_uffd(newpmd);
  if (pmd !== newpmd) set_pmd_at(m, mm, addr, pmdt, pi, newpmd);
}

/**
 * Applies the protection `newprot` to a huge pmd. Returns 0 if the pmd is no longer huge under its lock, 1 if no TLB
 * flush is needed, HPAGE_PMD_NR if the pmd was changed (mm/huge_memory.c: change_huge_pmd()). MM_CP_PROT_NUMA and
 * userfaultfd's read-write protection are Unmodelled.
 */
export function* change_huge_pmd(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmdt: ptdesc,
  addr: number,
  newprot: number,
  cp_flags: number,
): Gen<number> {
  const pi = pmd_index(addr);
  const mm = vma.vm_mm;
  const uffd_prot = (cp_flags & MM_CP_UFFD_WP) !== 0;
  const uffd_prot_resolve = (cp_flags & MM_CP_UFFD_WP_RESOLVE) !== 0;
  if (cp_flags & MM_CP_PROT_NUMA) throw new Unmodelled('change_huge_pmd: MM_CP_PROT_NUMA');
  if (userfaultfd_rwp(vma)) throw new Unmodelled('change_huge_pmd: userfaultfd_rwp');
  tlb_change_page_size(tlb, HPAGE_PMD_SIZE);
  if (!(yield* __pmd_trans_huge_lock(m, pmdt, pi, vma))) return 0;
  if (pmd_is_valid_softleaf(pmdt.entry[pi])) {
    change_non_present_huge_pmd(m, mm, addr, pmdt, pi, uffd_prot, uffd_prot_resolve);
    spin_unlock(m, pmdt.ptl);
    return 1;
  }
  const oldpmd = pmdp_invalidate_ad(m, vma, addr, pmdt, pi);
  let entry = pmd_modify(oldpmd, newprot);
  if (uffd_prot) entry = pte_mkuffd(entry);
  else if (uffd_prot_resolve) entry = pte_clear_uffd(entry);
  if (
    (cp_flags & MM_CP_TRY_CHANGE_WRITABLE) !== 0 &&
    !pmd_write(entry) &&
    can_change_pmd_writable(m, vma, addr, entry)
  ) {
    entry = pmd_mkwrite(entry);
  }
  set_pmd_at(m, mm, addr, pmdt, pi, entry);
  if (huge_pmd_needs_flush(oldpmd, entry)) tlb_flush_pmd_range(tlb, addr, HPAGE_PMD_SIZE);
  spin_unlock(m, pmdt.ptl);
  return HPAGE_PMD_NR;
}
