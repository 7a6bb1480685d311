// SPDX-License-Identifier: GPL-2.0-only

import { mm_inc_nr_ptes, pmd_lock, pte_alloc_one, pte_free } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  HPAGE_PMD_NR,
  pmd_mkold,
  pmd_index,
  pmd_modify,
  pmd_present,
  pmd_trans_huge,
  pmd_write,
  pmd_wrprotect,
  type ptdesc,
  pte_clear_uffd,
  pte_mksoft_dirty,
  pte_mkuffd,
  pte_soft_dirty,
  pte_special,
  pte_uffd,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { pmd_page, pmdp_set_wrprotect, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, ENOMEM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { folio_put } from '../folio.ts';
import {
  make_readable_device_private_entry_from_page,
  make_readable_migration_entry_from_page,
  pmd_is_valid_softleaf,
  softleaf_from_pmd,
  softleaf_is_device_private,
  softleaf_is_device_private_write,
  softleaf_is_migration_read_exclusive,
  softleaf_is_migration_write,
  softleaf_to_flags,
  softleaf_to_folio,
  softleaf_to_page,
  softleaf_to_pmd,
} from '../leafops.ts';
import { add_mm_counter, is_cow_mapping, MM_ANONPAGES, type vm_area_struct, vma_is_anonymous } from '../mm_types.ts';
import { folio_get, folio_test_large, page_folio } from '../page.ts';
import { pgtable_trans_huge_deposit } from '../pgtable-generic.ts';
import { folio_try_dup_anon_rmap_pmd } from '../rmap/rmap.ts';
import { userfaultfd_protected, userfaultfd_rwp } from '../userfaultfd/userfaultfd.ts';
import { __split_huge_pmd } from './split_pmd.ts';
import { is_huge_zero_pmd, mm_get_huge_zero_folio } from './sysfs.ts';

/**
 * Copies a non-present huge pmd to the child: a migration or a device-private entry (mm/huge_memory.c:
 * copy_huge_non_present_pmd()).
 */
function copy_huge_non_present_pmd(
  m: Machine,
  dst_pmdt: ptdesc,
  src_pmdt: ptdesc,
  addr: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  pgtable: ptdesc,
): void {
  const dst_mm = dst_vma.vm_mm;
  const src_mm = src_vma.vm_mm;
  const pi = pmd_index(addr);
  const old = src_pmdt.entry[pi];
  const entry = softleaf_from_pmd(old);
  let pmd = old;
  WARN_ON_ONCE(m, !pmd_is_valid_softleaf(pmd), 'copy_huge_non_present_pmd');
  // Both processes share the memory from now on, so the entry becomes readable in both.
  const make_readable = (readable: number): void => {
    pmd = softleaf_to_pmd(readable);
    if (pte_soft_dirty(old)) pmd = pte_mksoft_dirty(pmd);
    if (pte_uffd(old)) pmd = pte_mkuffd(pmd);
    set_pmd_at(m, src_mm, addr, src_pmdt, pi, pmd);
  };
  if (softleaf_is_migration_write(entry) || softleaf_is_migration_read_exclusive(entry)) {
    make_readable(make_readable_migration_entry_from_page(m, softleaf_to_page(m, entry), softleaf_to_flags(m, entry)));
  } else if (softleaf_is_device_private(entry)) {
    if (softleaf_is_device_private_write(entry))
      make_readable(make_readable_device_private_entry_from_page(m, softleaf_to_page(m, entry)));
    const src_folio = softleaf_to_folio(m, entry);
    WARN_ON(m, !folio_test_large(m, src_folio), 'copy_huge_non_present_pmd');
    folio_get(m, src_folio);
    folio_try_dup_anon_rmap_pmd(m, src_folio, src_folio, dst_vma, src_vma);
  }
  add_mm_counter(dst_mm, MM_ANONPAGES, HPAGE_PMD_NR);
  mm_inc_nr_ptes(dst_mm);
  pgtable_trans_huge_deposit(m, dst_mm, dst_pmdt, pi, pgtable);
  if (!userfaultfd_protected(dst_vma)) pmd = pte_clear_uffd(pmd);
  set_pmd_at(m, dst_mm, addr, dst_pmdt, pi, pmd);
}

/**
 * Copies a huge pmd to the child. Returns 0, -EAGAIN if the caller has to copy ptes, or -ENOMEM (mm/huge_memory.c:
 * copy_huge_pmd()).
 */
export function* copy_huge_pmd(
  m: Machine,
  dst_pmdt: ptdesc,
  src_pmdt: ptdesc,
  addr: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): Gen<number> {
  const dst_mm = dst_vma.vm_mm;
  const src_mm = src_vma.vm_mm;
  const pi = pmd_index(addr);
  let pmd = src_pmdt.entry[pi];
  if (pmd_present(pmd) && pte_special(pmd) && !is_huge_zero_pmd(m, pmd)) {
    yield* pmd_lock(m, dst_mm, dst_pmdt);
    yield* spin_lock(m, src_pmdt.ptl);
    WARN_ON_ONCE(m, is_cow_mapping(src_vma.vm_flags) && pmd_write(pmd), 'copy_huge_pmd');
    set_pmd_at(m, dst_mm, addr, dst_pmdt, pi, pmd_mkold(pmd));
    spin_unlock(m, src_pmdt.ptl);
    spin_unlock(m, dst_pmdt.ptl);
    return 0;
  }
  if (!vma_is_anonymous(dst_vma)) return 0;
  const pgtable = pte_alloc_one(m, dst_mm);
  if (pgtable === null) return -ENOMEM;

  yield* pmd_lock(m, dst_mm, dst_pmdt);
  yield* spin_lock(m, src_pmdt.ptl);
  const unlock = (): void => {
    spin_unlock(m, src_pmdt.ptl);
    spin_unlock(m, dst_pmdt.ptl);
  };
  pmd = src_pmdt.entry[pi];
  if (pmd_is_valid_softleaf(pmd)) {
    copy_huge_non_present_pmd(m, dst_pmdt, src_pmdt, addr, dst_vma, src_vma, pgtable);
    unlock();
    return 0;
  }
  if (!pmd_trans_huge(pmd)) {
    pte_free(m, dst_mm, pgtable);
    unlock();
    return -EAGAIN;
  }
  if (is_huge_zero_pmd(m, pmd)) {
    mm_get_huge_zero_folio(m, dst_mm);
  } else {
    const src_page = pmd_page(m, pmd);
    const src_folio = page_folio(m, src_page);
    BUG_ON(src_page !== src_folio, 'mm/huge_memory.c: copy_huge_pmd()');
    folio_get(m, src_folio);
    if (folio_try_dup_anon_rmap_pmd(m, src_folio, src_page, dst_vma, src_vma) !== 0) {
      // The folio may be pinned. Only ptes can tell page by page which ones need a copy.
      folio_put(m, src_folio);
      pte_free(m, dst_mm, pgtable);
      unlock();
      yield* __split_huge_pmd(m, src_vma, src_pmdt, pi, addr, false);
      return -EAGAIN;
    }
    add_mm_counter(dst_mm, MM_ANONPAGES, HPAGE_PMD_NR);
  }
  mm_inc_nr_ptes(dst_mm);
  pgtable_trans_huge_deposit(m, dst_mm, dst_pmdt, pi, pgtable);
  if (!userfaultfd_protected(dst_vma)) {
    if (userfaultfd_rwp(src_vma) && pte_uffd(pmd)) pmd = pmd_modify(pmd, dst_vma.vm_page_prot);
    pmd = pte_clear_uffd(pmd);
  }
  pmdp_set_wrprotect(m, src_mm, addr, src_pmdt, pi);
  set_pmd_at(m, dst_mm, addr, dst_pmdt, pi, pmd_mkold(pmd_wrprotect(pmd)));
  unlock();
  return 0;
}
