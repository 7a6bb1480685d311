// SPDX-License-Identifier: GPL-2.0-only

import {
  type ptdesc,
  pte_clear_uffd,
  pte_mkdirty,
  pte_mkuffd,
  pte_mkwrite,
  pte_mkyoung,
  pte_none,
  pte_pfn,
  pte_present,
  pte_uffd,
  pte_write,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { ptep_set_access_flags, set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import { flush_tlb_range, ptep_get_and_clear } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import type { address_space } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { type mutex, mutex_lock, mutex_unlock } from '../../kernel/locking/mutex.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock, type spinlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, printk, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { filemap_lock_folio } from '../filemap/filemap.ts';
import { folio_lock, folio_trylock, folio_unlock, folio_wait_locked } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import {
  pte_is_marker,
  pte_is_uffd_wp_marker,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  softleaf_from_pte,
  softleaf_is_hwpoison,
  softleaf_is_migration,
  softleaf_to_marker,
} from '../leafops.ts';
import { __vmf_anon_prepare, copy_user_large_folio, folio_zero_user } from '../memory/fault.ts';
import { migration_entry_wait_huge } from '../migrate/entry.ts';
import {
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  linear_page_index,
  type mm_struct,
  type vm_area_struct,
  vm_fault,
  VM_FAULT_HWPOISON_LARGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  VM_MAYSHARE,
  VM_SHARED,
  VM_UFFD_MISSING,
  VM_UFFD_WP,
  VM_WRITE,
} from '../mm_types.ts';
import { vma_end_read } from '../mmap_lock.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import { folio_mark_uptodate, PageAnonExclusive, SetPageAnonExclusive } from '../page-flags.ts';
import { folio_get, folio_test_anon, page_folio, pfn_to_page } from '../page.ts';
import {
  folio_mapcount,
  folio_move_anon_rmap,
  hugetlb_add_file_rmap,
  hugetlb_add_new_anon_rmap,
  hugetlb_remove_rmap,
  vma_filebacked_address,
} from '../rmap/rmap.ts';
import {
  handle_userfault,
  userfaultfd_missing,
  userfaultfd_wp,
  userfaultfd_wp_async,
} from '../userfaultfd/userfaultfd.ts';
import { mapping_rmap_tree_foreach } from '../vma/vma.ts';
import {
  alloc_hugetlb_folio,
  folio_clear_hpg,
  folio_set_hpg,
  HPG_migratable,
  HPG_restore_reserve,
  type hstate,
  hstate_vma,
  huge_page_size,
  hugetlb_add_to_page_cache,
  pages_per_huge_page,
  restore_reserve_on_error,
} from './pool.ts';
import {
  HPAGE_RESV_OWNER,
  HPAGE_RESV_UNMAPPED,
  hugetlb_vma_lock_read,
  hugetlb_vma_unlock_read,
  is_vma_resv_set,
  vma_end_reservation,
  vma_hugecache_offset,
  vma_needs_reservation,
} from './resv.ts';
import {
  huge_pte_alloc,
  huge_pte_index,
  huge_pte_lock,
  huge_pte_offset,
  huge_ptep_get,
  make_huge_pte,
  unmap_hugepage_range,
} from './vma.ts';

/** State of one hugetlb fault. NON-KERNEL: struct vm_fault and the local variables of upstream's hugetlb_fault(). */
class huge_fault {
  readonly vmf: vm_fault;
  readonly h: hstate;
  readonly mapping: address_space;
  /** Index within the file in huge pages. */
  readonly idx: number;
  readonly fault_mutex: mutex;
  pt: ptdesc | null = null;
  /** Index of the entry in pt. */
  readonly i: number;
  ptl: spinlock | null = null;
  constructor(m: Machine, vma: vm_area_struct, address: number, flags: number) {
    this.h = hstate_vma(m, vma);
    this.vmf = new vm_fault(vma, address, flags);
    this.vmf.address = address - (address % huge_page_size(this.h));
    this.mapping = vma.vm_file?.f_mapping as address_space;
    this.idx = vma_hugecache_offset(this.h, vma, this.vmf.address);
    this.fault_mutex = hugetlb_fault_mutex_hash(m, this.mapping, this.idx);
    this.i = huge_pte_index(this.h, this.vmf.address);
  }
}

/**
 * Returns the mutex that serializes faults on one huge page of a file; `idx` is in huge pages (mm/hugetlb.c:
 * hugetlb_fault_mutex_hash()).
 */
export function hugetlb_fault_mutex_hash(m: Machine, mapping: address_space, idx: number): mutex {
  const table = m.hugetlb.hugetlb_fault_mutex_table;
  return table[(mapping.id * 31 + idx) % table.length];
}

/** Reads the entry of the fault. NON-KERNEL: a call of huge_ptep_get(). */
function entry_of(m: Machine, hf: huge_fault): number {
  return huge_ptep_get(m, hf.vmf.vma.vm_mm, hf.vmf.address, hf.pt as ptdesc, hf.i);
}

/** Locks the page table of the fault. NON-KERNEL: a call of huge_pte_lock(). */
function* lock_entry(m: Machine, hf: huge_fault): Gen<void> {
  hf.ptl = yield* huge_pte_lock(m, hf.h, hf.vmf.vma.vm_mm, hf.pt as ptdesc);
}

/** Makes the entry writable and dirty (mm/hugetlb.c: set_huge_ptep_writable()). */
function set_huge_ptep_writable(m: Machine, hf: huge_fault): void {
  const { vma, address } = hf.vmf;
  const entry = pte_mkwrite(pte_mkdirty(entry_of(m, hf)));
  ptep_set_access_flags(m, vma, address, hf.pt as ptdesc, hf.i, entry, true);
}

/**
 * Unmaps the folio from other private mappings that have no reservation, so that the owner can be served (mm/hugetlb.c:
 * unmap_ref_private()).
 */
function* unmap_ref_private(m: Machine, vma: vm_area_struct, folio: number, address: number): Gen<void> {
  const h = hstate_vma(m, vma);
  const mapping = vma.vm_file?.f_mapping as address_space;
  const pgoff = linear_page_index(vma, address);
  yield* down_write(m, mapping.i_mmap_rwsem);
  for (const iter_vma of mapping_rmap_tree_foreach(mapping, pgoff, pgoff)) {
    if (iter_vma === vma || iter_vma.vm_flags & VM_MAYSHARE || is_vma_resv_set(iter_vma, HPAGE_RESV_OWNER)) continue;
    const at = vma_filebacked_address(iter_vma, pgoff, 1);
    yield* unmap_hugepage_range(m, iter_vma, at, at + huge_page_size(h), folio, 0);
  }
  up_write(m, mapping.i_mmap_rwsem);
}

/**
 * Makes the entry writable, with a copy if the page is shared. The page table is locked on entry and on return
 * (mm/hugetlb.c: hugetlb_wp()).
 */
function* hugetlb_wp(m: Machine, hf: huge_fault): Gen<number> {
  const { vmf, h } = hf;
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  const unshare = (vmf.flags & FAULT_FLAG_UNSHARE) !== 0;
  const pte = entry_of(m, hf);
  if (!unshare && pte_uffd(pte)) return 0;
  if (vma.vm_flags & VM_MAYSHARE) {
    set_huge_ptep_writable(m, hf);
    return 0;
  }
  const old_folio = page_folio(m, pfn_to_page(m, pte_pfn(pte)));
  let new_folio: number;
  for (;;) {
    if (folio_mapcount(m, old_folio) === 1 && folio_test_anon(m, old_folio)) {
      if (!PageAnonExclusive(m, old_folio)) {
        folio_move_anon_rmap(m, old_folio, vma);
        SetPageAnonExclusive(m, old_folio);
      }
      if (!unshare && vma.vm_flags & VM_WRITE) set_huge_ptep_writable(m, hf);
      return 0;
    }
    BUG_ON(
      folio_test_anon(m, old_folio) && PageAnonExclusive(m, old_folio),
      'mm/hugetlb.c: hugetlb_wp() of an exclusive page',
    );
    const cow_from_owner = is_vma_resv_set(vma, HPAGE_RESV_OWNER) && folio_test_anon(m, old_folio);
    folio_get(m, old_folio);
    spin_unlock(m, hf.ptl as spinlock);
    new_folio = alloc_hugetlb_folio(m, vma, vmf.address, cow_from_owner);
    if (new_folio >= 0) break;
    if (!cow_from_owner) {
      folio_put(m, old_folio);
      yield* spin_lock(m, hf.ptl as spinlock);
      return VM_FAULT_SIGBUS;
    }
    folio_put(m, old_folio);
    hugetlb_vma_unlock_read(m, vma);
    mutex_unlock(m, hf.fault_mutex);
    yield* unmap_ref_private(m, vma, old_folio, vmf.address);
    yield* mutex_lock(m, hf.fault_mutex);
    yield* hugetlb_vma_lock_read(m, vma);
    yield* spin_lock(m, hf.ptl as spinlock);
    hf.pt = huge_pte_offset(m, mm, vmf.address, huge_page_size(h));
    if (hf.pt === null || entry_of(m, hf) !== pte) return 0;
  }
  let ret = yield* __vmf_anon_prepare(m, vmf);
  if (ret === 0 && copy_user_large_folio(m, new_folio, old_folio, vmf.real_address, vma) !== 0)
    ret = VM_FAULT_HWPOISON_LARGE;
  if (ret === 0) {
    folio_mark_uptodate(m, new_folio);
    const range = new mmu_notifier_range();
    mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, vmf.address, vmf.address + huge_page_size(h));
    yield* mmu_notifier_invalidate_range_start(m, range);
    yield* spin_lock(m, hf.ptl as spinlock);
    hf.pt = huge_pte_offset(m, mm, vmf.address, huge_page_size(h));
    if (hf.pt !== null && entry_of(m, hf) === pte) {
      let newpte = make_huge_pte(m, vma, new_folio, !unshare);
      // Upstream's huge_ptep_clear_flush(): one INVLPG drops the whole huge translation.
      ptep_get_and_clear(m, mm, vmf.address, hf.pt, hf.i);
      flush_tlb_range(m, vma, vmf.address, vmf.address + huge_page_size(h));
      hugetlb_remove_rmap(m, old_folio);
      folio_clear_hpg(m, new_folio, HPG_restore_reserve);
      hugetlb_add_new_anon_rmap(m, new_folio, vma, vmf.address);
      if (pte_uffd(pte)) newpte = pte_mkuffd(newpte);
      set_pte_at(m, mm, vmf.address, hf.pt, hf.i, newpte);
      folio_set_hpg(m, new_folio, HPG_migratable);
      new_folio = old_folio;
    }
    spin_unlock(m, hf.ptl as spinlock);
    yield* mmu_notifier_invalidate_range_end(m, range);
  }
  if (new_folio !== old_folio) restore_reserve_on_error(m, h, vma, vmf.address, new_folio);
  folio_put(m, new_folio);
  folio_put(m, old_folio);
  yield* spin_lock(m, hf.ptl as spinlock);
  return ret;
}

/**
 * Passes the fault to userfaultfd after releasing the vma lock and the fault mutex (mm/hugetlb.c:
 * hugetlb_handle_userfault()).
 */
function* hugetlb_handle_userfault(m: Machine, hf: huge_fault, reason: number): Gen<number> {
  hugetlb_vma_unlock_read(m, hf.vmf.vma);
  mutex_unlock(m, hf.fault_mutex);
  return yield* handle_userfault(m, hf.vmf, reason);
}

/** Returns true if the entry is still what the fault read first (mm/hugetlb.c: hugetlb_pte_stable()). */
function* hugetlb_pte_stable(m: Machine, hf: huge_fault): Gen<boolean> {
  yield* lock_entry(m, hf);
  const same = entry_of(m, hf) === hf.vmf.orig_pte;
  spin_unlock(m, hf.ptl as spinlock);
  return same;
}

/**
 * Releases the locks at the end of hugetlb_no_page() and returns `ret`. NON-KERNEL: the label `out` of upstream's
 * hugetlb_no_page().
 */
function no_page_out(m: Machine, hf: huge_fault, ret: number): number {
  hugetlb_vma_unlock_read(m, hf.vmf.vma);
  if (ret & VM_FAULT_RETRY) vma_end_read(m, hf.vmf.vma);
  mutex_unlock(m, hf.fault_mutex);
  return ret;
}

/**
 * Handles a fault on an empty entry. Releases the fault mutex and the vma lock. Returns VM_FAULT_* (mm/hugetlb.c:
 * hugetlb_no_page()).
 */
function* hugetlb_no_page(m: Machine, hf: huge_fault): Gen<number> {
  const { vmf, h, mapping } = hf;
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  const shared = (vma.vm_flags & VM_MAYSHARE) !== 0;
  if (is_vma_resv_set(vma, HPAGE_RESV_UNMAPPED)) {
    printk(m, `PID ${m.current.pid} killed due to inadequate hugepage pool`);
    return no_page_out(m, hf, VM_FAULT_SIGBUS);
  }
  let new_folio = false;
  let new_anon_folio = false;
  let folio_locked = true;
  let ret: number;
  let folio = yield* filemap_lock_folio(m, mapping, hf.idx * pages_per_huge_page(h));
  if (folio === 0) {
    if (hf.idx >= Math.floor(mapping.host.i_size / huge_page_size(h))) return no_page_out(m, hf, VM_FAULT_SIGBUS);
    if (userfaultfd_missing(vma)) {
      if (!(yield* hugetlb_pte_stable(m, hf))) return no_page_out(m, hf, 0);
      return yield* hugetlb_handle_userfault(m, hf, VM_UFFD_MISSING);
    }
    if (!shared) {
      ret = yield* __vmf_anon_prepare(m, vmf);
      if (ret !== 0) return no_page_out(m, hf, ret);
    }
    folio = alloc_hugetlb_folio(m, vma, vmf.address, false);
    if (folio < 0) return no_page_out(m, hf, (yield* hugetlb_pte_stable(m, hf)) ? VM_FAULT_SIGBUS : 0);
    folio_zero_user(m, folio, vmf.real_address);
    folio_mark_uptodate(m, folio);
    new_folio = true;
    if (shared) {
      if (hugetlb_add_to_page_cache(m, folio, mapping, hf.idx) !== 0) {
        restore_reserve_on_error(m, h, vma, vmf.address, folio);
        folio_put(m, folio);
        return no_page_out(m, hf, VM_FAULT_SIGBUS);
      }
    } else {
      new_anon_folio = true;
      yield* folio_lock(m, folio);
    }
  }
  if (vmf.flags & FAULT_FLAG_WRITE && !(vma.vm_flags & VM_SHARED)) {
    vma_needs_reservation(h, vma, vmf.address);
    vma_end_reservation(h, vma, vmf.address);
  }
  yield* lock_entry(m, hf);
  ret = 0;
  if (entry_of(m, hf) !== vmf.orig_pte) {
    spin_unlock(m, hf.ptl as spinlock);
    if (new_anon_folio) restore_reserve_on_error(m, h, vma, vmf.address, folio);
    folio_unlock(m, folio);
    folio_put(m, folio);
    return no_page_out(m, hf, 0);
  }
  if (new_anon_folio) {
    folio_clear_hpg(m, folio, HPG_restore_reserve);
    hugetlb_add_new_anon_rmap(m, folio, vma, vmf.address);
  } else hugetlb_add_file_rmap(m, folio);
  let new_pte = make_huge_pte(m, vma, folio, (vma.vm_flags & VM_SHARED) !== 0);
  if (userfaultfd_wp(vma) && pte_is_uffd_wp_marker(vmf.orig_pte)) new_pte = pte_mkuffd(new_pte);
  set_pte_at(m, mm, vmf.address, hf.pt as ptdesc, hf.i, new_pte);
  mm.hugetlb_usage += pages_per_huge_page(h);
  if (vmf.flags & FAULT_FLAG_WRITE && !(vma.vm_flags & VM_SHARED)) {
    if (!new_anon_folio) {
      folio_locked = false;
      folio_unlock(m, folio);
    }
    ret = yield* hugetlb_wp(m, hf);
  }
  if (new_folio) folio_set_hpg(m, folio, HPG_migratable);
  if (folio_locked) folio_unlock(m, folio);
  spin_unlock(m, hf.ptl as spinlock);
  return no_page_out(m, hf, ret);
}

/** Handles a fault in a hugetlb vma. Returns VM_FAULT_* (mm/hugetlb.c: hugetlb_fault()). */
export function* hugetlb_fault(
  m: Machine,
  mm: mm_struct,
  vma: vm_area_struct,
  address: number,
  flags: number,
): Gen<number> {
  const hf = new huge_fault(m, vma, address, flags);
  const { vmf, h } = hf;
  yield* mutex_lock(m, hf.fault_mutex);
  yield* hugetlb_vma_lock_read(m, vma);
  hf.pt = yield* huge_pte_alloc(m, mm, vma, vmf.address, huge_page_size(h));
  vmf.pmdt = hf.pt;
  vmf.pte = hf.pt;
  if (hf.pt === null) return no_page_out(m, hf, VM_FAULT_OOM);
  vmf.orig_pte = entry_of(m, hf);
  if (pte_none(vmf.orig_pte)) return yield* hugetlb_no_page(m, hf);
  if (pte_is_marker(vmf.orig_pte)) {
    const marker = softleaf_to_marker(m, softleaf_from_pte(vmf.orig_pte));
    if (marker & PTE_MARKER_POISONED) return no_page_out(m, hf, VM_FAULT_HWPOISON_LARGE);
    if (WARN_ON_ONCE(m, (marker & PTE_MARKER_GUARD) !== 0, 'hugetlb_fault'))
      return no_page_out(m, hf, VM_FAULT_SIGSEGV);
    return yield* hugetlb_no_page(m, hf);
  }
  if (!pte_present(vmf.orig_pte)) {
    const softleaf = softleaf_from_pte(vmf.orig_pte);
    if (softleaf_is_migration(softleaf)) {
      mutex_unlock(m, hf.fault_mutex);
      yield* migration_entry_wait_huge(m, vma, vmf.address, hf.pt, hf.i);
      return 0;
    }
    return no_page_out(m, hf, softleaf_is_hwpoison(softleaf) ? VM_FAULT_HWPOISON_LARGE : 0);
  }
  const wants_write = (flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0;
  if (wants_write && !(vma.vm_flags & VM_MAYSHARE) && !pte_write(vmf.orig_pte)) {
    vma_needs_reservation(h, vma, vmf.address);
    vma_end_reservation(h, vma, vmf.address);
  }
  let ret = 0;
  let wait_for = 0;
  yield* lock_entry(m, hf);
  if (entry_of(m, hf) === vmf.orig_pte) {
    if (pte_uffd(vmf.orig_pte) && flags & FAULT_FLAG_WRITE && !pte_write(vmf.orig_pte)) {
      if (userfaultfd_wp(vma) && !userfaultfd_wp_async(vma)) {
        spin_unlock(m, hf.ptl as spinlock);
        return yield* hugetlb_handle_userfault(m, hf, VM_UFFD_WP);
      }
      vmf.orig_pte = pte_clear_uffd(vmf.orig_pte);
      set_pte_at(m, mm, vmf.address, hf.pt, hf.i, vmf.orig_pte);
    }
    if (wants_write && !pte_write(vmf.orig_pte)) {
      const folio = page_folio(m, pfn_to_page(m, pte_pfn(vmf.orig_pte)));
      if (folio_test_anon(m, folio) && !folio_trylock(m, folio)) wait_for = folio;
      else {
        folio_get(m, folio);
        ret = yield* hugetlb_wp(m, hf);
        if (folio_test_anon(m, folio)) folio_unlock(m, folio);
        folio_put(m, folio);
      }
    } else {
      if (flags & FAULT_FLAG_WRITE) vmf.orig_pte = pte_mkdirty(vmf.orig_pte);
      vmf.orig_pte = pte_mkyoung(vmf.orig_pte);
      ptep_set_access_flags(m, vma, vmf.address, hf.pt, hf.i, vmf.orig_pte, (flags & FAULT_FLAG_WRITE) !== 0);
    }
  }
  spin_unlock(m, hf.ptl as spinlock);
  no_page_out(m, hf, ret);
  if (wait_for !== 0) yield* folio_wait_locked(m, wait_for);
  return ret;
}
