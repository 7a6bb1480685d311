// SPDX-License-Identifier: GPL-2.0-only
// Exclusive access as merged in 2021: for a range, through rmap, page by page. NON-KERNEL throughout.

import {
  type ptdesc,
  pte_dirty,
  pte_mksoft_dirty,
  pte_mkuffd,
  pte_pfn,
  pte_present,
  pte_soft_dirty,
  pte_uffd,
  pte_write,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { folio_trylock, folio_unlock } from '../mm/filemap/folio_lock.ts';
import { folio_put } from '../mm/folio.ts';
import { get_user_pages_remote } from '../mm/gup/gup.ts';
import { FOLL_GET, FOLL_SPLIT_PMD, FOLL_WRITE } from '../mm/gup/pin.ts';
import { make_device_exclusive_entry } from '../mm/leafops.ts';
import type { mm_struct, vm_area_struct } from '../mm/mm_types.ts';
import { mmap_assert_locked } from '../mm/mmap_lock.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init_owner,
  MMU_NOTIFY_EXCLUSIVE,
} from '../mm/mmu_notifier.ts';
import { folio_mark_dirty } from '../mm/page-writeback.ts';
import { folio_nr_pages, folio_test_anon, page_folio, pfn_to_page } from '../mm/page.ts';
import { DEFINE_FOLIO_VMA_WALK, page_vma_mapped_walk, page_vma_mapped_walk_done } from '../mm/page_vma_mapped.ts';
import { ptep_clear_flush } from '../mm/pgtable-generic.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { folio_mapcount, folio_mapped, folio_remove_rmap_pte } from '../mm/rmap/rmap.ts';
import { folio_lock_anon_vma_read, rmap_walk } from '../mm/rmap/walk.ts';

/** The address where a writable mapping of the page is expected, and whether it was found. */
interface make_exclusive_args {
  readonly mm: mm_struct;
  readonly address: number;
  readonly owner: unknown;
  valid: boolean;
}

/**
 * Replaces the mappings of one vma by device-exclusive entries. Returns false if an entry is not present. NON-KERNEL
 * (mm/rmap.c of Linux 5.15: page_make_device_exclusive_one()).
 */
function* page_make_device_exclusive_one(
  m: Machine,
  folio: number,
  vma: vm_area_struct,
  start: number,
  args: make_exclusive_args,
): Gen<boolean> {
  const mm = vma.vm_mm;
  const pvmw = DEFINE_FOLIO_VMA_WALK(m, folio, vma, start, 0);
  const range = new mmu_notifier_range();
  const end = Math.min(vma.vm_end, start + folio_nr_pages(m, folio) * PAGE_SIZE);
  mmu_notifier_range_init_owner(range, MMU_NOTIFY_EXCLUSIVE, 0, mm, start, end, args.owner);
  yield* mmu_notifier_invalidate_range_start(m, range);
  let ret = true;
  while (yield* page_vma_mapped_walk(m, pvmw)) {
    BUG_ON(pvmw.pte === null, 'page_make_device_exclusive_one() of a folio mapped by a pmd');
    const pt = pvmw.pte as ptdesc;
    const i = pvmw.ptei;
    const { address } = pvmw;
    if (!pte_present(pt.entry[i])) {
      ret = false;
      page_vma_mapped_walk_done(m, pvmw);
      break;
    }
    const pteval = ptep_clear_flush(m, vma, address, pt, i);
    const pfn = pte_pfn(pteval);
    if (pte_dirty(pteval)) folio_mark_dirty(m, folio);
    if (args.mm === mm && args.address === address && pte_write(pteval)) args.valid = true;
    let swp_pte = make_device_exclusive_entry(pfn);
    if (pte_soft_dirty(pteval)) swp_pte = pte_mksoft_dirty(swp_pte);
    if (pte_uffd(pteval)) swp_pte = pte_mkuffd(swp_pte);
    set_pte_at(m, mm, address, pt, i, swp_pte);
    // The entry keeps the mapping's reference.
    folio_remove_rmap_pte(m, folio, pfn_to_page(m, pfn), vma);
  }
  yield* mmu_notifier_invalidate_range_end(m, range);
  return ret;
}

/**
 * Replaces all mappings of the locked folio. Returns true if one of them was at the address and none is left.
 * NON-KERNEL (mm/rmap.c of Linux 5.15: page_make_device_exclusive()).
 */
function* folio_make_device_exclusive(
  m: Machine,
  folio: number,
  mm: mm_struct,
  address: number,
  owner: unknown,
): Gen<boolean> {
  if (!folio_test_anon(m, folio)) return false;
  const args: make_exclusive_args = { mm, address, owner, valid: false };
  yield* rmap_walk(m, folio, {
    rmap_one: (_m, f, vma, start) => page_make_device_exclusive_one(m, f, vma, start, args),
    done: (_m, f) => !folio_mapped(m, f),
    anon_lock: folio_lock_anon_vma_read,
  });
  return args.valid && folio_mapcount(m, folio) === 0;
}

/**
 * Gives a device exclusive access to the pages of [start, end), as far as possible: the folios of those in `pages` that
 * are not 0 are locked and referenced. Returns the number of pages found, or a negative errno. mmap_lock is held.
 * NON-KERNEL (b756a3b5e7ea, as in Linux 5.15 until 2025). Leaves out readable device-exclusive entries: restoring calls
 * can_change_pte_writable(), which returns the same for anonymous memory.
 */
export function* make_device_exclusive_range(
  m: Machine,
  mm: mm_struct,
  start: number,
  end: number,
  pages: Int32Array,
  owner: unknown,
): Gen<number> {
  mmap_assert_locked(mm);
  const npages = yield* get_user_pages_remote(
    m,
    mm,
    start,
    (end - start) / PAGE_SIZE,
    FOLL_GET | FOLL_WRITE | FOLL_SPLIT_PMD,
    pages,
    null,
  );
  for (let i = 0; i < npages; i++) {
    const folio = page_folio(m, pages[i]);
    if (!folio_trylock(m, folio)) {
      folio_put(m, folio);
      pages[i] = 0;
      continue;
    }
    if (!(yield* folio_make_device_exclusive(m, folio, mm, start + i * PAGE_SIZE, owner))) {
      folio_unlock(m, folio);
      folio_put(m, folio);
      pages[i] = 0;
    }
  }
  return npages;
}
