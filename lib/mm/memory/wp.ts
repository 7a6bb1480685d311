// SPDX-License-Identifier: GPL-2.0-only

import { folio_mk_pte, maybe_mkwrite, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  pmd_index,
  type ptdesc,
  pte_clear_uffd,
  pte_index,
  pte_mkdirty,
  pte_mksoft_dirty,
  pte_mkuffd,
  pte_mkyoung,
  pte_pfn,
  pte_soft_dirty,
  pte_uffd,
  pte_write,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { ptep_set_access_flags, set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import { flush_tlb_page, mm_tlb_flush_pending } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import {
  fault_flag_allow_retry_first,
  folio_lock,
  folio_trylock,
  folio_unlock,
  release_fault_lock,
} from '../filemap/folio_lock.ts';
import { folio_add_lru_vma, folio_put, lru_add_drain } from '../folio.ts';
import {
  add_mm_counter,
  FAULT_FLAG_MKWRITE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  MM_ANONPAGES,
  mm_counter_file,
  type vm_area_struct,
  type vm_fault,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_MAYSHARE,
  VM_SHARED,
  VM_UFFD_WP,
} from '../mm_types.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import {
  folio_mark_uptodate,
  folio_test_locked,
  folio_test_lru,
  folio_test_swapcache,
  PageAnonExclusive,
  SetPageAnonExclusive,
} from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import { folio_get, folio_ref_count, folio_test_anon, folio_test_large, large, page_folio } from '../page.ts';
import { pte_offset_map_lock, ptep_clear_flush } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import {
  folio_add_new_anon_rmap,
  folio_large_mapcount,
  folio_move_anon_rmap,
  folio_remove_rmap_pte,
  RMAP_EXCLUSIVE,
} from '../rmap/rmap.ts';
import {
  handle_userfault,
  userfaultfd_pte_wp,
  userfaultfd_wp,
  userfaultfd_wp_async,
} from '../userfaultfd/userfaultfd.ts';
import {
  copy_mc_user_highpage,
  folio_prealloc,
  is_zero_pfn,
  vm_normal_page,
  vmf_anon_prepare,
  vmf_can_call_fault,
} from './fault.ts';

/**
 * Calls ->page_mkwrite(), which the vma must have. Returns VM_FAULT_LOCKED with the folio locked, an error, or 0 if the
 * fault has to be retried (mm/memory.c: do_page_mkwrite()).
 */
export function* do_page_mkwrite(m: Machine, vmf: vm_fault, folio: number): Gen<number> {
  const old_flags = vmf.flags;
  vmf.flags = FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE;
  const page_mkwrite = vmf.vma.vm_ops?.page_mkwrite;
  BUG_ON(page_mkwrite === undefined, 'mm/memory.c: do_page_mkwrite() without page_mkwrite');
  let ret = yield* (page_mkwrite as NonNullable<typeof page_mkwrite>)(m, vmf);
  vmf.flags = old_flags;
  if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) return ret;
  if (!(ret & VM_FAULT_LOCKED)) {
    yield* folio_lock(m, folio);
    if (m.page.mapping[folio] === 0) {
      folio_unlock(m, folio);
      return 0;
    }
    ret |= VM_FAULT_LOCKED;
  } else {
    BUG_ON(!folio_test_locked(m, folio), 'mm/memory.c: do_page_mkwrite()');
  }
  return ret;
}

/**
 * Marks the locked page cache folio of vmf.page dirty and unlocks it. Returns VM_FAULT_COMPLETED if the lock was
 * released to throttle the writer, which happens on a first attempt if the folio was clean (mm/memory.c:
 * fault_dirty_shared_page()).
 */
export function* fault_dirty_shared_page(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const folio = page_folio(m, vmf.page);
  const page_mkwrite = vma.vm_ops?.page_mkwrite !== undefined;
  const dirtied = folio_mark_dirty(m, folio);
  BUG_ON(folio_test_anon(m, folio), 'mm/memory.c: fault_dirty_shared_page() of an anonymous folio');
  const mapping = m.page.mapping[folio];
  folio_unlock(m, folio);
  if (
    (dirtied || page_mkwrite) &&
    mapping !== 0 &&
    fault_flag_allow_retry_first(vmf.flags) &&
    !(vmf.flags & FAULT_FLAG_RETRY_NOWAIT)
  ) {
    release_fault_lock(m, vmf);
    return VM_FAULT_COMPLETED;
  }
  return 0;
}

/** Makes the pte writable in place and unlocks the page table (mm/memory.c: wp_page_reuse()). */
function wp_page_reuse(m: Machine, vmf: vm_fault, folio: number): void {
  const pt = vmf.pte as ptdesc;
  BUG_ON(!(vmf.flags & FAULT_FLAG_WRITE), 'mm/memory.c: wp_page_reuse()');
  WARN_ON(m, is_zero_pfn(m, pte_pfn(vmf.orig_pte)), 'wp_page_reuse');
  if (folio !== 0) BUG_ON(folio_test_anon(m, folio) && !PageAnonExclusive(m, vmf.page), 'mm/memory.c: wp_page_reuse()');
  const entry = maybe_mkwrite(pte_mkdirty(pte_mkyoung(vmf.orig_pte)), vmf.vma);
  ptep_set_access_flags(m, vmf.vma, vmf.address, pt, pte_index(vmf.address), entry, true);
  pte_unmap_unlock(m, pt);
}

/**
 * Replaces the page by a copy for a write or an unshare fault. Returns 0 or VM_FAULT_* (mm/memory.c: wp_page_copy()).
 */
function* wp_page_copy(m: Machine, vmf: vm_fault): Gen<number> {
  const unshare = (vmf.flags & FAULT_FLAG_UNSHARE) !== 0;
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  const old_folio = vmf.page === 0 ? 0 : page_folio(m, vmf.page);
  const ret = yield* vmf_anon_prepare(m, vmf);
  if (ret !== 0) {
    if (old_folio !== 0) folio_put(m, old_folio);
    return ret;
  }
  const pfn_is_zero = is_zero_pfn(m, pte_pfn(vmf.orig_pte));
  let new_folio = folio_prealloc(m, vma, vmf.address, pfn_is_zero);
  if (new_folio === 0) {
    if (old_folio !== 0) folio_put(m, old_folio);
    return VM_FAULT_OOM;
  }
  if (!pfn_is_zero) {
    // Upstream copies a pfn without a struct page through the user address; here the pfn itself is read.
    if (vmf.page !== 0) copy_mc_user_highpage(m, new_folio, vmf.page, vmf.address, vma);
    else m.ram.copy(m.page.page_to_pfn(new_folio), pte_pfn(vmf.orig_pte));
  }
  folio_mark_uptodate(m, new_folio);
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, vmf.address, vmf.address + PAGE_SIZE);
  yield* mmu_notifier_invalidate_range_start(m, range);

  const pt = yield* pte_offset_map_lock(m, mm, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address);
  vmf.pte = pt;
  const i = pte_index(vmf.address);
  if (pt !== null) {
    if (pt.entry[i] === vmf.orig_pte) {
      if (old_folio === 0) {
        add_mm_counter(mm, MM_ANONPAGES, 1);
      } else if (!folio_test_anon(m, old_folio)) {
        add_mm_counter(mm, mm_counter_file(m, old_folio), -1);
        add_mm_counter(mm, MM_ANONPAGES, 1);
      }
      let entry = folio_mk_pte(m, new_folio, vma.vm_page_prot);
      if (unshare) {
        if (pte_soft_dirty(vmf.orig_pte)) entry = pte_mksoft_dirty(entry);
        if (pte_uffd(vmf.orig_pte)) entry = pte_mkuffd(entry);
      } else {
        entry = maybe_mkwrite(pte_mkdirty(entry), vma);
      }
      ptep_clear_flush(m, vma, vmf.address, pt, i);
      folio_add_new_anon_rmap(m, new_folio, vma, vmf.address, RMAP_EXCLUSIVE);
      folio_add_lru_vma(m, new_folio, vma);
      BUG_ON(unshare && pte_write(entry), 'mm/memory.c: wp_page_copy()');
      set_pte_at(m, mm, vmf.address, pt, i, entry);
      if (old_folio !== 0) folio_remove_rmap_pte(m, old_folio, vmf.page, vma);
      new_folio = old_folio;
    }
    pte_unmap_unlock(m, pt);
  }
  yield* mmu_notifier_invalidate_range_end(m, range);
  if (new_folio !== 0) folio_put(m, new_folio);
  if (old_folio !== 0) folio_put(m, old_folio);
  return 0;
}

/**
 * Makes a shared pte writable after ->page_mkwrite() succeeded. Returns 0, or VM_FAULT_NOPAGE if the pte changed
 * (mm/memory.c: finish_mkwrite_fault()).
 */
function* finish_mkwrite_fault(m: Machine, vmf: vm_fault, folio: number): Gen<number> {
  WARN_ON_ONCE(m, !(vmf.vma.vm_flags & VM_SHARED), 'finish_mkwrite_fault');
  vmf.pte = yield* pte_offset_map_lock(m, vmf.vma.vm_mm, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address);
  if (vmf.pte === null) return VM_FAULT_NOPAGE;
  if (vmf.pte.entry[pte_index(vmf.address)] !== vmf.orig_pte) {
    pte_unmap_unlock(m, vmf.pte);
    return VM_FAULT_NOPAGE;
  }
  wp_page_reuse(m, vmf, folio);
  return 0;
}

/** Handles a write fault on a shared mapping of a raw pfn. Returns VM_FAULT_* (mm/memory.c: wp_pfn_shared()). */
function* wp_pfn_shared(m: Machine, vmf: vm_fault): Gen<number> {
  const pfn_mkwrite = vmf.vma.vm_ops?.pfn_mkwrite;
  if (pfn_mkwrite) {
    pte_unmap_unlock(m, vmf.pte as ptdesc);
    let ret = vmf_can_call_fault(m, vmf);
    if (ret !== 0) return ret;
    vmf.flags |= FAULT_FLAG_MKWRITE;
    ret = yield* pfn_mkwrite(m, vmf);
    if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) return ret;
    return yield* finish_mkwrite_fault(m, vmf, 0);
  }
  wp_page_reuse(m, vmf, 0);
  return 0;
}

/** Handles a write fault on a shared file page. Returns VM_FAULT_* (mm/memory.c: wp_page_shared()). */
function* wp_page_shared(m: Machine, vmf: vm_fault, folio: number): Gen<number> {
  folio_get(m, folio);
  if (vmf.vma.vm_ops?.page_mkwrite) {
    pte_unmap_unlock(m, vmf.pte as ptdesc);
    let tmp = vmf_can_call_fault(m, vmf);
    if (tmp !== 0) {
      folio_put(m, folio);
      return tmp;
    }
    tmp = yield* do_page_mkwrite(m, vmf, folio);
    if (tmp === 0 || tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) {
      folio_put(m, folio);
      return tmp;
    }
    tmp = yield* finish_mkwrite_fault(m, vmf, folio);
    if (tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) {
      folio_unlock(m, folio);
      folio_put(m, folio);
      return tmp;
    }
  } else {
    wp_page_reuse(m, vmf, folio);
    yield* folio_lock(m, folio);
  }
  const ret = yield* fault_dirty_shared_page(m, vmf);
  folio_put(m, folio);
  return ret;
}

/**
 * Returns true if all references to a large folio are mappings of this mm (mm/memory.c:
 * __wp_can_reuse_large_anon_folio()).
 */
function __wp_can_reuse_large_anon_folio(m: Machine, folio: number, vma: vm_area_struct): boolean {
  if (folio_large_mapcount(m, folio) <= 1) return false;
  const l = large(m, folio);
  if (l.maybe_mapped_shared) return false;
  if (folio_large_mapcount(m, folio) !== folio_ref_count(m, folio)) return false;
  WARN_ON_ONCE(m, l._entire_mapcount !== -1, '__wp_can_reuse_large_anon_folio', 'entire');
  WARN_ON_ONCE(m, !l._mm_id.includes(vma.vm_mm.mm_id), '__wp_can_reuse_large_anon_folio', 'mm_id');
  return true;
}

/**
 * Returns true if the anonymous folio has no other user and can be written in place (mm/memory.c:
 * wp_can_reuse_anon_folio()). Leaves out folio_free_swap(): there are no swap devices.
 */
function wp_can_reuse_anon_folio(m: Machine, folio: number, vma: vm_area_struct): boolean {
  if (folio_test_large(m, folio)) return __wp_can_reuse_large_anon_folio(m, folio, vma);
  const maybe_in_lru_cache = !folio_test_lru(m, folio);
  const in_swapcache = folio_test_swapcache(m, folio) ? 1 : 0;
  if (folio_ref_count(m, folio) > 1 + (maybe_in_lru_cache ? 1 : 0) + in_swapcache) return false;
  if (maybe_in_lru_cache) lru_add_drain(m);
  if (folio_ref_count(m, folio) > 1 + in_swapcache) return false;
  if (!folio_trylock(m, folio)) return false;
  if (folio_ref_count(m, folio) !== 1) {
    folio_unlock(m, folio);
    return false;
  }
  folio_move_anon_rmap(m, folio, vma);
  folio_unlock(m, folio);
  return true;
}

/**
 * Handles a write (FAULT_FLAG_WRITE) or an unshare (FAULT_FLAG_UNSHARE) fault on a read-only pte by making it writable
 * or copying the page. vmf.pte is locked on entry and unlocked on return (mm/memory.c: do_wp_page()).
 */
export function* do_wp_page(m: Machine, vmf: vm_fault): Gen<number> {
  const unshare = (vmf.flags & FAULT_FLAG_UNSHARE) !== 0;
  const vma = vmf.vma;
  const pt = vmf.pte as ptdesc;
  const i = pte_index(vmf.address);
  if (!unshare) {
    const now = pt.entry[i];
    if (userfaultfd_pte_wp(vma, now)) {
      if (!userfaultfd_wp_async(vma)) {
        pte_unmap_unlock(m, pt);
        return yield* handle_userfault(m, vmf, VM_UFFD_WP);
      }
      vmf.orig_pte = pte_clear_uffd(now);
      set_pte_at(m, vma.vm_mm, vmf.address, pt, i, vmf.orig_pte);
    }
    if (userfaultfd_wp(vma) && mm_tlb_flush_pending(vma.vm_mm)) flush_tlb_page(m, vma, vmf.address);
  }
  vmf.page = vm_normal_page(m, vma, vmf.address, vmf.orig_pte);
  const folio = vmf.page === 0 ? 0 : page_folio(m, vmf.page);
  if (vma.vm_flags & (VM_SHARED | VM_MAYSHARE)) {
    if (vmf.page === 0) return yield* wp_pfn_shared(m, vmf);
    return yield* wp_page_shared(m, vmf, folio);
  }
  if (
    folio !== 0 &&
    folio_test_anon(m, folio) &&
    (PageAnonExclusive(m, vmf.page) || wp_can_reuse_anon_folio(m, folio, vma))
  ) {
    if (!PageAnonExclusive(m, vmf.page)) SetPageAnonExclusive(m, vmf.page);
    if (unshare) {
      pte_unmap_unlock(m, pt);
      return 0;
    }
    wp_page_reuse(m, vmf, folio);
    return 0;
  }
  if (folio !== 0) folio_get(m, folio);
  pte_unmap_unlock(m, pt);
  return yield* wp_page_copy(m, vmf);
}
