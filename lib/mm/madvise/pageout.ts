// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import { pmd_trans_huge, type ptdesc, pte_index, pte_none, pte_present } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EINTR, EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { cond_resched, fatal_signal_pending } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { lru_add_drain } from '../folio.ts';
import { vm_normal_folio } from '../memory/fault.ts';
import { type vm_area_struct, VM_HUGETLB, VM_LOCKED, VM_PFNMAP, vma_is_anonymous } from '../mm_types.ts';
import {
  clear_flags,
  folio_set_workingset,
  folio_test_active,
  folio_test_lru,
  folio_test_unevictable,
  PG_referenced,
  PG_young,
} from '../page-flags.ts';
import { folio_is_zone_device, folio_nr_pages, folio_test_large } from '../page.ts';
import { type mm_walk, type mm_walk_ops, PGWALK_RDLOCK, walk_page_range_vma } from '../pagewalk.ts';
import { pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { flush_tlb_batched_pending } from '../rmap/tlb_batch.ts';
import { folio_isolate_lru, folio_putback_lru, reclaim_pages } from '../vmscan.ts';

/**
 * Isolates and reclaims what one pmd maps, except folios that are mapped elsewhere (mm/madvise.c:
 * madvise_cold_or_pageout_pte_range()). Leaves out large folios.
 */
function* madvise_pageout_pte_range(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  end: number,
  walk: mm_walk<null>,
): Gen<number> {
  if (fatal_signal_pending(m.current)) return -EINTR;
  if (pmd_trans_huge(pmdt.entry[pi])) throw new Unmodelled('madvise_cold_or_pageout_pte_range: huge pages');
  const pt = yield* pte_offset_map_lock(m, walk.mm, pmdt, pi, addr);
  if (pt === null) return 0;
  flush_tlb_batched_pending(m, walk.mm);
  const folio_list: number[] = [];
  for (; addr < end; addr += PAGE_SIZE) {
    const ptent = pt.entry[pte_index(addr)];
    if (pte_none(ptent) || !pte_present(ptent)) continue;
    const folio = vm_normal_folio(m, walk.vma as vm_area_struct, addr, ptent);
    if (folio === 0 || folio_is_zone_device(m, folio)) continue;
    if (folio_test_large(m, folio)) throw new Unmodelled('madvise_cold_or_pageout_pte_range: large folios');
    if (!folio_test_lru(m, folio) || folio_mapcount(m, folio) !== folio_nr_pages(m, folio)) continue;
    clear_flags(m, folio, PG_referenced | PG_young);
    if (folio_test_active(m, folio)) folio_set_workingset(m, folio);
    if (!folio_isolate_lru(m, folio)) continue;
    if (folio_test_unevictable(m, folio)) folio_putback_lru(m, folio);
    else folio_list.push(folio);
  }
  pte_unmap_unlock(m, pt);
  yield* reclaim_pages(m, folio_list);
  yield* cond_resched(m);
  return 0;
}

const cold_walk_ops: mm_walk_ops<null> = {
  pmd_entry: madvise_pageout_pte_range,
  walk_lock: PGWALK_RDLOCK,
};

/**
 * MADV_PAGEOUT: reclaims the vma's pages in [start, end). Returns 0 or -EINVAL (mm/madvise.c: madvise_pageout()).
 * Leaves out file mappings and large folios.
 */
export function* madvise_pageout(m: Machine, vma: vm_area_struct, start: number, end: number): Gen<number> {
  if (vma.vm_flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB)) return -EINVAL;
  if (!vma_is_anonymous(vma)) throw new Unmodelled('madvise_pageout: mappings of files');
  lru_add_drain(m);
  yield* walk_page_range_vma(m, vma, start, end, cold_walk_ops, null);
  return 0;
}
