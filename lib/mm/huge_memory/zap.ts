// SPDX-License-Identifier: GPL-2.0-only

import { mm_dec_nr_ptes, pte_free } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  HPAGE_PMD_NR,
  HPAGE_PMD_SIZE,
  pmd_dirty,
  pmd_mkclean,
  pmd_mkold,
  pmd_pfn,
  pmd_present,
  pmd_young,
  type ptdesc,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { pmd_page, pmdp_huge_get_and_clear_full, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_mark_accessed, folio_mark_lazyfree, folio_put } from '../folio.ts';
import { pmd_is_device_private_entry, pmd_is_migration_entry, pmd_to_softleaf_folio } from '../leafops.ts';
import { vm_normal_folio_pmd } from '../memory/fault.ts';
import { folio_is_device_private } from '../memremap.ts';
import {
  add_mm_counter,
  MM_ANONPAGES,
  mm_counter_file,
  type mm_struct,
  type vm_area_struct,
  VM_RAND_READ,
  VM_SEQ_READ,
} from '../mm_types.ts';
import {
  type mmu_gather,
  tlb_change_page_size,
  tlb_remove_page_size,
  tlb_remove_pmd_tlb_entry,
} from '../mmu_gather.ts';
import {
  folio_clear_dirty,
  folio_set_dirty,
  folio_set_swapbacked,
  folio_test_dirty,
  folio_test_locked,
  folio_test_swapbacked,
} from '../page-flags.ts';
import { folio_get, folio_is_zone_device, folio_ref_count, folio_test_anon, pfn_folio } from '../page.ts';
import { pgtable_trans_huge_withdraw, pmdp_huge_clear_flush, pmdp_invalidate } from '../pgtable-generic.ts';
import { folio_mapcount, folio_maybe_mapped_shared, folio_remove_rmap_pmd } from '../rmap/rmap.ts';
import { __pmd_trans_huge_lock, pmd_trans_huge_lock } from './pmd_lock.ts';
import { split_folio } from './split_folio.ts';
import { folio_test_pmd_mappable, is_huge_zero_pmd } from './sysfs.ts';

/**
 * MADV_FREE of the folio that a pmd maps, up to `next`. Returns true if done, false if the caller has to look at ptes
 * or the folio cannot be freed (mm/huge_memory.c: madvise_free_huge_pmd()).
 */
export function* madvise_free_huge_pmd(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  next: number,
): Gen<boolean> {
  const mm = vma.vm_mm;
  tlb_change_page_size(tlb, HPAGE_PMD_SIZE);
  if (!(yield* pmd_trans_huge_lock(m, pmdt, pi, vma))) return false;
  let orig_pmd = pmdt.entry[pi];
  const out = (): boolean => {
    spin_unlock(m, pmdt.ptl);
    return false;
  };
  if (is_huge_zero_pmd(m, orig_pmd)) return out();
  if (!pmd_present(orig_pmd)) {
    WARN_ON_ONCE(
      m,
      !pmd_is_migration_entry(orig_pmd) && !pmd_is_device_private_entry(orig_pmd),
      'madvise_free_huge_pmd',
    );
    return out();
  }
  const folio = pfn_folio(m, pmd_pfn(orig_pmd));
  if (folio_is_zone_device(m, folio)) return out();
  if (folio_maybe_mapped_shared(m, folio)) return out();
  if (!folio_trylock(m, folio)) return out();
  if (next - addr !== HPAGE_PMD_SIZE) {
    folio_get(m, folio);
    spin_unlock(m, pmdt.ptl);
    yield* split_folio(m, folio);
    folio_unlock(m, folio);
    folio_put(m, folio);
    return false;
  }
  if (folio_test_dirty(m, folio)) folio_clear_dirty(m, folio);
  folio_unlock(m, folio);
  if (pmd_young(orig_pmd) || pmd_dirty(orig_pmd)) {
    pmdp_invalidate(m, vma, addr, pmdt, pi);
    orig_pmd = pmd_mkclean(pmd_mkold(orig_pmd));
    set_pmd_at(m, mm, addr, pmdt, pi, orig_pmd);
    tlb_remove_pmd_tlb_entry(tlb, addr);
  }
  folio_mark_lazyfree(m, folio);
  spin_unlock(m, pmdt.ptl);
  return true;
}

/** Frees the page table that was deposited for a huge pmd (mm/huge_memory.c: zap_deposited_table()). */
function zap_deposited_table(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number): void {
  const pgtable = pgtable_trans_huge_withdraw(m, mm, pmdt, pi);
  pte_free(m, mm, pgtable);
  mm_dec_nr_ptes(mm);
}

/** Updates rmap, counters and folio flags for a zapped pmd (mm/huge_memory.c: zap_huge_pmd_folio()). */
function zap_huge_pmd_folio(
  m: Machine,
  mm: mm_struct,
  vma: vm_area_struct,
  pmdval: number,
  folio: number,
  is_present: boolean,
): void {
  const is_device_private = folio_is_device_private(m, folio);
  if (is_present || is_device_private) folio_remove_rmap_pmd(m, folio, folio, vma);
  if (folio_test_anon(m, folio)) {
    add_mm_counter(mm, MM_ANONPAGES, -HPAGE_PMD_NR);
  } else {
    add_mm_counter(mm, mm_counter_file(m, folio), -HPAGE_PMD_NR);
    if (is_present && pmd_dirty(pmdval)) folio_set_dirty(m, folio);
    if (is_present && pmd_young(pmdval) && (vma.vm_flags & (VM_SEQ_READ | VM_RAND_READ)) === 0)
      folio_mark_accessed(m, folio);
  }
  // A device-private entry drops its reference here; references of present folios are dropped by the mmu_gather.
  if (is_device_private) folio_put(m, folio);
}

/**
 * Zaps a huge pmd, present or not. Returns false if the pmd is no longer huge under its lock (mm/huge_memory.c:
 * zap_huge_pmd()).
 */
export function* zap_huge_pmd(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  pmdt: ptdesc,
  pi: number,
  addr: number,
): Gen<boolean> {
  const mm = vma.vm_mm;
  tlb_change_page_size(tlb, HPAGE_PMD_SIZE);
  if (!(yield* __pmd_trans_huge_lock(m, pmdt, pi, vma))) return false;
  const orig_pmd = pmdp_huge_get_and_clear_full(m, vma, addr, pmdt, pi, tlb.fullmm);
  tlb_remove_pmd_tlb_entry(tlb, addr);
  const is_present = pmd_present(orig_pmd);
  const folio = is_present ? vm_normal_folio_pmd(m, vma, addr, orig_pmd) : pmd_to_softleaf_folio(m, orig_pmd);
  const has_deposit = is_huge_zero_pmd(m, orig_pmd) || (folio !== 0 && folio_test_anon(m, folio));
  if (folio !== 0) zap_huge_pmd_folio(m, mm, vma, orig_pmd, folio, is_present);
  if (has_deposit) zap_deposited_table(m, mm, pmdt, pi);
  spin_unlock(m, pmdt.ptl);
  if (is_present && folio !== 0) tlb_remove_page_size(m, tlb, folio, HPAGE_PMD_SIZE);
  return true;
}

/**
 * Unmaps a clean lazily freed folio under the pmd lock. Returns false if it was written to again or has other users
 * (mm/huge_memory.c: unmap_huge_pmd_locked()).
 */
export function unmap_huge_pmd_locked(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pmdt: ptdesc,
  pi: number,
  folio: number,
): boolean {
  const fn = 'unmap_huge_pmd_locked';
  WARN_ON(m, !folio_test_pmd_mappable(m, folio), fn);
  WARN_ON(m, !folio_test_locked(m, folio), fn);
  WARN_ON(m, !folio_test_anon(m, folio), fn);
  WARN_ON(m, folio_test_swapbacked(m, folio), fn);
  if (pmd_dirty(pmdt.entry[pi])) folio_set_dirty(m, folio);
  if (folio_test_dirty(m, folio)) {
    folio_set_swapbacked(m, folio);
    return false;
  }
  const orig_pmd = pmdp_huge_clear_flush(m, vma, addr, pmdt, pi);
  const ref_count = folio_ref_count(m, folio);
  const map_count = folio_mapcount(m, folio);
  if (pmd_dirty(orig_pmd)) folio_set_dirty(m, folio);
  if (folio_test_dirty(m, folio)) {
    folio_set_swapbacked(m, folio);
    set_pmd_at(m, vma.vm_mm, addr, pmdt, pi, orig_pmd);
    return false;
  }
  if (ref_count !== map_count + 1) {
    set_pmd_at(m, vma.vm_mm, addr, pmdt, pi, orig_pmd);
    return false;
  }
  folio_remove_rmap_pmd(m, folio, pmd_page(m, orig_pmd), vma);
  zap_deposited_table(m, vma.vm_mm, pmdt, pi);
  add_mm_counter(vma.vm_mm, MM_ANONPAGES, -HPAGE_PMD_NR);
  folio_put(m, folio);
  return true;
}
