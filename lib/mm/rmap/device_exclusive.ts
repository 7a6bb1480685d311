// SPDX-License-Identifier: GPL-2.0-only

import { pmd_off, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  PAGE_ALIGN_DOWN,
  pmd_index,
  type ptdesc,
  pte_dirty,
  pte_index,
  pte_mksoft_dirty,
  pte_present,
  pte_soft_dirty,
  pte_write,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EBUSY, EOPNOTSUPP } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { folio_lock_killable, folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import { get_user_page_vma_remote } from '../gup/gup.ts';
import { FOLL_GET, FOLL_SPLIT_PMD, FOLL_WRITE } from '../gup/pin.ts';
import { make_device_exclusive_entry } from '../leafops.ts';
import { vm_normal_page } from '../memory/fault.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_assert_locked } from '../mmap_lock.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init_owner,
  MMU_NOTIFY_EXCLUSIVE,
} from '../mmu_notifier.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import { folio_test_anon, folio_test_hugetlb, page_folio, page_to_pfn } from '../page.ts';
import { pte_offset_map_lock, ptep_clear_flush } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_remove_rmap_pte } from './rmap.ts';

/**
 * Returns the locked pte table at the address if a writable pte still maps `page`, else null. NON-KERNEL:
 * upstream walks with folio_walk_start().
 */
function* walk_to(m: Machine, vma: vm_area_struct, addr: number, page: number): Gen<ptdesc | null> {
  const pmdt = pmd_off(vma.vm_mm, addr);
  const pt = pmdt === null ? null : yield* pte_offset_map_lock(m, vma.vm_mm, pmdt, pmd_index(addr), addr);
  if (pt === null) return null;
  const pte = pt.entry[pte_index(addr)];
  if (pte_present(pte) && pte_write(pte) && vm_normal_page(m, vma, addr, pte) === page) return pt;
  pte_unmap_unlock(m, pt);
  return null;
}

/** Returns true if a device-exclusive entry counts as a mapping of its page. NON-KERNEL. */
export function device_exclusive_is_mapping(m: Machine): boolean {
  return !m.patch.exclusive_is_no_mapping;
}

/** Returns false for hugetlb folios. NON-KERNEL: a line of upstream's make_device_exclusive(). */
function may_be_exclusive(m: Machine, folio: number): boolean {
  return !folio_test_hugetlb(m, folio) || m.patch.exclusive_takes_hugetlb;
}

/**
 * Locks the folio. Returns 0, -EINTR after SIGKILL, or -EBUSY where it does not wait. NON-KERNEL: a line of upstream's
 * make_device_exclusive().
 */
function* lock_folio(m: Machine, folio: number): Gen<number> {
  if (m.patch.exclusive_trylock) return folio_trylock(m, folio) ? 0 : -EBUSY;
  return yield* folio_lock_killable(m, folio);
}

/**
 * Gives a device exclusive access to one anonymous page: its pte becomes a device-exclusive entry, which the next CPU
 * access reverts. Returns the page, whose folio is locked and referenced, or a negative errno: -EOPNOTSUPP for other
 * memory, or the error of a write fault (mm/rmap.c: make_device_exclusive()). mmap_lock is held; `owner` is passed to
 * MMU_NOTIFY_EXCLUSIVE notifiers.
 */
export function* make_device_exclusive(m: Machine, mm: mm_struct, address: number, owner: unknown): Gen<number> {
  mmap_assert_locked(mm);
  const addr = PAGE_ALIGN_DOWN(address);
  for (;;) {
    const vmap: { vma: vm_area_struct | null } = { vma: null };
    const page = yield* get_user_page_vma_remote(m, mm, addr, FOLL_GET | FOLL_WRITE | FOLL_SPLIT_PMD, vmap);
    if (page < 0) return page;
    const vma = vmap.vma as vm_area_struct;
    const folio = page_folio(m, page);
    if (!folio_test_anon(m, folio) || !may_be_exclusive(m, folio)) {
      folio_put(m, folio);
      return -EOPNOTSUPP;
    }
    const ret = yield* lock_folio(m, folio);
    if (ret !== 0) {
      folio_put(m, folio);
      return ret;
    }

    const range = new mmu_notifier_range();
    mmu_notifier_range_init_owner(range, MMU_NOTIFY_EXCLUSIVE, 0, mm, addr, addr + PAGE_SIZE, owner);
    yield* mmu_notifier_invalidate_range_start(m, range);
    const pt = yield* walk_to(m, vma, addr, page);
    if (pt === null) {
      yield* mmu_notifier_invalidate_range_end(m, range);
      folio_unlock(m, folio);
      folio_put(m, folio);
      continue;
    }
    const i = pte_index(addr);
    const pte = ptep_clear_flush(m, vma, addr, pt, i);
    if (pte_dirty(pte)) folio_mark_dirty(m, folio);
    let swp_pte = make_device_exclusive_entry(page_to_pfn(m, page));
    if (pte_soft_dirty(pte)) swp_pte = pte_mksoft_dirty(swp_pte);
    set_pte_at(m, mm, addr, pt, i, swp_pte);
    if (!device_exclusive_is_mapping(m)) folio_remove_rmap_pte(m, folio, page, vma);
    pte_unmap_unlock(m, pt);
    yield* mmu_notifier_invalidate_range_end(m, range);
    return page;
  }
}
