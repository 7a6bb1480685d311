// SPDX-License-Identifier: GPL-2.0-only

import {
  maybe_mkwrite,
  mk_pte,
  pmd_lock,
  pte_alloc_one,
  pte_free,
  pte_unmap_unlock,
} from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  HPAGE_PMD_NR,
  HPAGE_PMD_ORDER,
  HPAGE_PMD_SIZE,
  pmd_index,
  pmd_mkdirty,
  pmd_none,
  type ptdesc,
  pte_index,
  pte_mkdirty,
  pte_mkuffd,
  pte_none,
  pte_write,
  PTRS_PER_PTE,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { folio_mk_pmd, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import { set_ptes } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { folio_lock, folio_unlock, unlock_page } from '../filemap/folio_lock.ts';
import { folio_add_lru_vma, folio_put, put_page } from '../folio.ts';
import { maybe_pmd_mkwrite } from '../huge_memory/pmd_lock.ts';
import {
  count_vm_event,
  folio_test_pmd_mappable,
  thp_vma_suitable_order,
  vma_thp_disabled,
} from '../huge_memory/sysfs.ts';
import {
  add_mm_counter,
  FAULT_FLAG_WRITE,
  MM_ANONPAGES,
  mm_counter_file,
  type vm_fault,
  VM_FAULT_DONE_COW,
  VM_FAULT_ERROR,
  VM_FAULT_FALLBACK,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_SHARED,
  vma_pages,
} from '../mm_types.ts';
import { check_stable_address_space } from '../oom_kill.ts';
import { folio_mark_uptodate, folio_test_dirty, folio_test_locked } from '../page-flags.ts';
import { folio_nr_pages, folio_order, folio_page_idx, folio_ref_add, page_folio } from '../page.ts';
import { pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import {
  folio_add_file_rmap_pmd,
  folio_add_file_rmap_ptes,
  folio_add_new_anon_rmap,
  RMAP_EXCLUSIVE,
} from '../rmap/rmap.ts';
import { uffd_disable_fault_around, userfaultfd_armed } from '../userfaultfd/userfaultfd.ts';
import {
  copy_mc_user_highpage,
  folio_prealloc,
  pte_range_none,
  vmf_anon_prepare,
  vmf_can_call_fault,
  vmf_orig_pte_uffd_wp,
  vmf_pte_changed,
} from './fault.ts';
import { pmd_install, pte_alloc } from './pgalloc.ts';
import { do_page_mkwrite, fault_dirty_shared_page } from './wp.ts';

const FAILED = VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY;

/** fault_around_bytes of debugfs in pages; a power of two (mm/memory.c: fault_around_pages). */
const FAULT_AROUND_PAGES = 65536 / PAGE_SIZE;

/** Calls the vma's ->fault(), which returns with vmf.page locked. Returns VM_FAULT_* (mm/memory.c: __do_fault()). */
function* __do_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  if (pmd_none((vmf.pmdt as ptdesc).entry[pmd_index(vmf.address)]) && vmf.prealloc_pte === null) {
    vmf.prealloc_pte = pte_alloc_one(m, vma.vm_mm);
    if (vmf.prealloc_pte === null) return VM_FAULT_OOM;
  }
  const fault = vma.vm_ops?.fault;
  BUG_ON(fault === undefined, 'mm/memory.c: __do_fault() without ->fault');
  const ret = yield* (fault as NonNullable<typeof fault>)(m, vmf);
  if (ret & (FAILED | VM_FAULT_DONE_COW)) return ret;
  if (!(ret & VM_FAULT_LOCKED)) yield* folio_lock(m, page_folio(m, vmf.page));
  else BUG_ON(!folio_test_locked(m, page_folio(m, vmf.page)), 'mm/memory.c: __do_fault() of a page that is not locked');
  return ret;
}

/**
 * Maps a huge page cache folio by one pmd if the vma allows it. Returns 0, or VM_FAULT_FALLBACK if the caller has to
 * map ptes (mm/memory.c: do_set_pmd()).
 */
export function* do_set_pmd(m: Machine, vmf: vm_fault, folio: number, _page: number): Gen<number> {
  const vma = vmf.vma;
  const haddr = ALIGN_DOWN(vmf.address, HPAGE_PMD_SIZE);
  if (vma_thp_disabled(vma, vma.vm_flags)) return VM_FAULT_FALLBACK;
  if (!thp_vma_suitable_order(vma, haddr, HPAGE_PMD_ORDER)) return VM_FAULT_FALLBACK;
  if (folio_order(m, folio) !== HPAGE_PMD_ORDER) return VM_FAULT_FALLBACK;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  const ptl = yield* pmd_lock(m, vma.vm_mm, pmdt);
  let ret = VM_FAULT_FALLBACK;
  if (pmd_none(pmdt.entry[pi])) {
    let entry = folio_mk_pmd(m, folio, vma.vm_page_prot);
    if (vmf.flags & FAULT_FLAG_WRITE) entry = maybe_pmd_mkwrite(pmd_mkdirty(entry), vma);
    add_mm_counter(vma.vm_mm, mm_counter_file(m, folio), HPAGE_PMD_NR);
    folio_add_file_rmap_pmd(m, folio, folio, vma);
    set_pmd_at(m, vma.vm_mm, haddr, pmdt, pi, entry);
    count_vm_event(m, 'THP_FILE_MAPPED');
    ret = 0;
  }
  spin_unlock(m, ptl);
  return ret;
}

/**
 * Maps nr pages of a folio from addr on into vmf.pte, which is locked. Leaves the mm's counters to the caller
 * (mm/memory.c: set_pte_range()).
 */
export function set_pte_range(m: Machine, vmf: vm_fault, folio: number, page: number, nr: number, addr: number): void {
  const vma = vmf.vma;
  const write = (vmf.flags & FAULT_FLAG_WRITE) !== 0;
  let entry = mk_pte(m, page, vma.vm_page_prot);
  if (write) entry = maybe_mkwrite(pte_mkdirty(entry), vma);
  else if (pte_write(entry) && folio_test_dirty(m, folio)) entry = pte_mkdirty(entry);
  if (vmf_orig_pte_uffd_wp(vmf)) entry = pte_mkuffd(entry);
  if (write && !(vma.vm_flags & VM_SHARED)) {
    BUG_ON(nr !== 1, 'mm/memory.c: set_pte_range() of a copied large folio');
    folio_add_new_anon_rmap(m, folio, vma, addr, RMAP_EXCLUSIVE);
    folio_add_lru_vma(m, folio, vma);
  } else {
    folio_add_file_rmap_ptes(m, folio, page, nr, vma);
  }
  set_ptes(m, vma.vm_mm, addr, vmf.pte as ptdesc, pte_index(addr), entry, nr);
}

/**
 * Maps vmf.page, or vmf.cow_page for a private write; the page is locked. The mapping takes over its reference. Returns
 * VM_FAULT_* (mm/memory.c: finish_fault()).
 */
function* finish_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  const is_cow = (vmf.flags & FAULT_FLAG_WRITE) !== 0 && !(vma.vm_flags & VM_SHARED);
  let needs_fallback = false;
  for (;;) {
    let addr = vmf.address;
    let page = is_cow ? vmf.cow_page : vmf.page;
    const folio = page_folio(m, page);
    if (!(vma.vm_flags & VM_SHARED)) {
      const unstable = check_stable_address_space(mm);
      if (unstable !== 0) return unstable;
    }
    if (!needs_fallback && vma.vm_file !== null) {
      const mapping = vma.vm_file.f_mapping;
      if (mapping !== null && mapping.kind !== 'shmem') {
        const file_end = Math.ceil(mapping.host.i_size / PAGE_SIZE);
        needs_fallback = file_end < m.page.index[folio] + folio_nr_pages(m, folio);
      }
    }
    if (pmd_none(pmdt.entry[pi])) {
      if (!needs_fallback && folio_test_pmd_mappable(m, folio)) {
        const ret = yield* do_set_pmd(m, vmf, folio, page);
        if (ret !== VM_FAULT_FALLBACK) return ret;
      }
      if (vmf.prealloc_pte !== null) {
        if (yield* pmd_install(m, mm, pmdt, pi, vmf.prealloc_pte)) vmf.prealloc_pte = null;
      } else if ((yield* pte_alloc(m, mm, pmdt, pi)) !== 0) {
        return VM_FAULT_OOM;
      }
    }
    let nr_pages = folio_nr_pages(m, folio);
    if (userfaultfd_armed(vma) || needs_fallback) {
      nr_pages = 1;
    } else if (nr_pages > 1) {
      const idx = folio_page_idx(folio, page);
      const vma_off = vmf.pgoff - vma.vm_pgoff;
      const pte_off = pte_index(vmf.address);
      if (
        vma_off < idx ||
        vma_off + (nr_pages - idx) > vma_pages(vma) ||
        pte_off < idx ||
        pte_off + (nr_pages - idx) > PTRS_PER_PTE
      ) {
        nr_pages = 1;
      } else {
        addr = vmf.address - idx * PAGE_SIZE;
        page = folio;
      }
    }
    const pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
    vmf.pte = pt;
    if (pt === null) return VM_FAULT_NOPAGE;
    if (nr_pages === 1 && vmf_pte_changed(vmf)) {
      pte_unmap_unlock(m, pt);
      return VM_FAULT_NOPAGE;
    }
    if (nr_pages > 1 && !pte_range_none(pt, pte_index(addr), nr_pages)) {
      needs_fallback = true;
      pte_unmap_unlock(m, pt);
      continue;
    }
    folio_ref_add(m, folio, nr_pages - 1);
    const type = is_cow ? MM_ANONPAGES : mm_counter_file(m, folio);
    set_pte_range(m, vmf, folio, page, nr_pages, addr);
    add_mm_counter(mm, type, nr_pages);
    pte_unmap_unlock(m, pt);
    return 0;
  }
}

/** Maps page cache pages around the fault address. Returns VM_FAULT_* (mm/memory.c: do_fault_around()). */
function* do_fault_around(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const pte_off = pte_index(vmf.address);
  const vma_off = vmf.pgoff - vma.vm_pgoff;
  const from_pte = Math.max(ALIGN_DOWN(pte_off, FAULT_AROUND_PAGES), pte_off - Math.min(pte_off, vma_off));
  const to_pte = Math.min(from_pte + FAULT_AROUND_PAGES, PTRS_PER_PTE, pte_off + vma_pages(vma) - vma_off) - 1;
  if (pmd_none((vmf.pmdt as ptdesc).entry[pmd_index(vmf.address)])) {
    vmf.prealloc_pte = pte_alloc_one(m, vma.vm_mm);
    if (vmf.prealloc_pte === null) return VM_FAULT_OOM;
  }
  const map_pages = vma.vm_ops?.map_pages;
  if (!map_pages) return 0;
  return yield* map_pages(m, vmf, vmf.pgoff + from_pte - pte_off, vmf.pgoff + to_pte - pte_off);
}

/** Handles a read fault of a file mapping. Returns VM_FAULT_* (mm/memory.c: do_read_fault()). */
function* do_read_fault(m: Machine, vmf: vm_fault): Gen<number> {
  if (vmf.vma.vm_ops?.map_pages && !uffd_disable_fault_around(vmf.vma)) {
    const ret = yield* do_fault_around(m, vmf);
    if (ret !== 0) return ret;
  }
  let ret = vmf_can_call_fault(m, vmf);
  if (ret !== 0) return ret;
  ret = yield* __do_fault(m, vmf);
  if (ret & FAILED) return ret;
  ret |= yield* finish_fault(m, vmf);
  const folio = page_folio(m, vmf.page);
  folio_unlock(m, folio);
  if (ret & FAILED) folio_put(m, folio);
  return ret;
}

/** Handles a write fault of a private file mapping. Returns VM_FAULT_* (mm/memory.c: do_cow_fault()). */
function* do_cow_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  let ret = vmf_can_call_fault(m, vmf);
  if (ret === 0) ret = yield* vmf_anon_prepare(m, vmf);
  if (ret !== 0) return ret;
  const folio = folio_prealloc(m, vma, vmf.address, false);
  if (folio === 0) return VM_FAULT_OOM;
  vmf.cow_page = folio;
  ret = yield* __do_fault(m, vmf);
  if (ret & FAILED) {
    folio_put(m, folio);
    return ret;
  }
  if (ret & VM_FAULT_DONE_COW) return ret;
  copy_mc_user_highpage(m, vmf.cow_page, vmf.page, vmf.address, vma);
  folio_mark_uptodate(m, folio);
  ret |= yield* finish_fault(m, vmf);
  unlock_page(m, vmf.page);
  put_page(m, vmf.page);
  if (ret & FAILED) folio_put(m, folio);
  return ret;
}

/** Handles a write fault of a shared file mapping. Returns VM_FAULT_* (mm/memory.c: do_shared_fault()). */
function* do_shared_fault(m: Machine, vmf: vm_fault): Gen<number> {
  let ret = vmf_can_call_fault(m, vmf);
  if (ret !== 0) return ret;
  ret = yield* __do_fault(m, vmf);
  if (ret & FAILED) return ret;
  const folio = page_folio(m, vmf.page);
  if (vmf.vma.vm_ops?.page_mkwrite) {
    folio_unlock(m, folio);
    const tmp = yield* do_page_mkwrite(m, vmf, folio);
    if (tmp === 0 || tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) {
      folio_put(m, folio);
      return tmp;
    }
  }
  ret |= yield* finish_fault(m, vmf);
  if (ret & FAILED) {
    folio_unlock(m, folio);
    folio_put(m, folio);
    return ret;
  }
  ret |= yield* fault_dirty_shared_page(m, vmf);
  return ret;
}

/** Handles a fault on an empty pte of a file mapping. Returns VM_FAULT_* (mm/memory.c: do_fault()). */
export function* do_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm;
  let ret: number;
  if (!vma.vm_ops?.fault) {
    const pt = yield* pte_offset_map_lock(m, mm, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address);
    vmf.pte = pt;
    if (pt === null) {
      ret = VM_FAULT_SIGBUS;
    } else {
      ret = pte_none(pt.entry[pte_index(vmf.address)]) ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
      pte_unmap_unlock(m, pt);
    }
  } else if (!(vmf.flags & FAULT_FLAG_WRITE)) {
    ret = yield* do_read_fault(m, vmf);
  } else if (!(vma.vm_flags & VM_SHARED)) {
    ret = yield* do_cow_fault(m, vmf);
  } else {
    ret = yield* do_shared_fault(m, vmf);
  }
  if (vmf.prealloc_pte !== null) {
    pte_free(m, mm, vmf.prealloc_pte);
    vmf.prealloc_pte = null;
  }
  return ret;
}
