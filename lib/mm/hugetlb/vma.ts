// SPDX-License-Identifier: GPL-2.0-only
// hugetlb page tables. An entry is in the pmd table (2 MiB) or in the pud table (1 GiB). Shared page tables are not
// modelled: Unmodelled is thrown where upstream would start to share one.

import { folio_mk_pte, pud_table } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  _PAGE_PSE,
  ALIGN,
  ALIGN_DOWN,
  pgd_index,
  pmd_index,
  PMD_SIZE,
  type ptdesc,
  pte_clear_uffd,
  pte_dirty,
  pte_mkdirty,
  pte_mkuffd,
  pte_mkwrite,
  pte_mkyoung,
  pte_modify,
  pte_none,
  pte_pfn,
  pte_present,
  pte_set_flags,
  pte_uffd,
  pte_wrprotect,
  ptep_get,
  pud_index,
  PUD_SIZE,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { pte_clear, ptep_set_wrprotect, set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import { ptep_get_and_clear } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import { ENOMEM } from '../../errno.ts';
import type { address_space, file } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock, type spinlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON } from '../../kernel/printk.ts';
import { cond_resched } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_put } from '../folio.ts';
import {
  make_pte_marker_entry,
  make_readable_exclusive_migration_entry_from_page,
  make_readable_migration_entry_from_page,
  pte_is_marker,
  pte_is_uffd_wp_marker,
  PTE_MARKER_UFFD_WP,
  softleaf_from_pte,
  softleaf_is_hwpoison,
  softleaf_is_migration,
  softleaf_is_migration_write,
  softleaf_to_flags,
  softleaf_to_page,
  softleaf_to_pte,
} from '../leafops.ts';
import { copy_pte_marker } from '../memory/copy.ts';
import { copy_user_large_folio } from '../memory/fault.ts';
import { pud_alloc } from '../memory/pgalloc.ts';
import { ZAP_FLAG_DROP_MARKER, ZAP_FLAG_UNMAP } from '../memory/zap.ts';
import {
  is_cow_mapping,
  is_vm_hugetlb_page,
  linear_page_index,
  type mm_struct,
  type vm_area_struct,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYSHARE,
  VM_WRITE,
} from '../mm_types.ts';
import {
  mmu_gather,
  tlb_change_page_size,
  tlb_end_vma,
  tlb_finish_mmu,
  tlb_flush_mmu_tlbonly,
  tlb_gather_mmu,
  tlb_gather_mmu_vma,
  tlb_remove_huge_tlb_entry,
  tlb_remove_page_size,
  tlb_start_vma,
} from '../mmu_gather.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
  MMU_NOTIFY_PROTECTION_VMA,
} from '../mmu_notifier.ts';
import { MM_CP_UFFD_WP, MM_CP_UFFD_WP_RESOLVE } from '../mprotect.ts';
import { folio_mark_uptodate } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import { folio_get, folio_size, folio_test_anon, page_folio, PageAnon, pfn_to_page } from '../page.ts';
import { PAGE_SIZE } from '../physmem.ts';
import {
  folio_mapped,
  hugetlb_add_file_rmap,
  hugetlb_add_new_anon_rmap,
  hugetlb_remove_rmap,
  hugetlb_try_dup_anon_rmap,
} from '../rmap/rmap.ts';
import { mm_alloc_pmd } from '../userfaultfd/mfill.ts';
import {
  pte_swp_uffd_any,
  uffd_disable_huge_pmd_share,
  userfaultfd_protected,
  userfaultfd_wp,
  vma_has_uffd_without_event_remap,
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
  pages_per_huge_page,
  restore_reserve_on_error,
} from './pool.ts';
import {
  __hugetlb_vma_unlock_write_free,
  __vma_private_lock,
  HPAGE_RESV_UNMAPPED,
  hugetlb_vma_lock,
  hugetlb_vma_lock_read,
  hugetlb_vma_lock_write,
  hugetlb_vma_unlock_read,
  hugetlb_vma_unlock_write,
  set_vma_resv_flags,
  vma_add_reservation,
  vma_needs_reservation,
} from './resv.ts';

/** Bytes that one pud table covers. */
const P4D_SIZE = 512 * PUD_SIZE;

/** Returns true if the page table at addr could be shared (mm/hugetlb.c: want_pmd_share()). */
function want_pmd_share(vma: vm_area_struct, addr: number): boolean {
  if (uffd_disable_huge_pmd_share(vma) || !(vma.vm_flags & VM_MAYSHARE) || vma.vm_private_data === null) return false;
  const start = ALIGN_DOWN(addr, PUD_SIZE);
  return vma.vm_start <= start && start + PUD_SIZE <= vma.vm_end;
}

/**
 * Throws if another mapping of the file has a page table that upstream would share. NON-KERNEL: upstream's
 * huge_pmd_share() would return that table.
 */
function refuse_pmd_share(vma: vm_area_struct, addr: number): void {
  const mapping = vma.vm_file?.f_mapping as address_space;
  const idx = linear_page_index(vma, addr);
  const locked = VM_LOCKED | VM_LOCKONFAULT;
  for (const svma of mapping_rmap_tree_foreach(mapping, idx, idx)) {
    if (svma === vma) continue;
    const saddr = (idx - svma.vm_pgoff) * PAGE_SIZE + svma.vm_start;
    const sbase = ALIGN_DOWN(saddr, PUD_SIZE);
    if (pmd_index(addr) !== pmd_index(saddr) || (vma.vm_flags & ~locked) !== (svma.vm_flags & ~locked)) continue;
    if (sbase < svma.vm_start || sbase + PUD_SIZE > svma.vm_end || !(svma.vm_private_data instanceof hugetlb_vma_lock))
      continue;
    throw new Unmodelled('mm/hugetlb.c: huge_pmd_share()');
  }
}

/**
 * Returns the page table for a huge page of sz bytes and allocates it if needed; null without memory. The entry is at
 * huge_pte_index() (mm/hugetlb.c: huge_pte_alloc()).
 */
export function* huge_pte_alloc(
  m: Machine,
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  sz: number,
): Gen<ptdesc | null> {
  if (sz === PUD_SIZE) return yield* pud_alloc(m, mm, mm.pgd, pgd_index(addr), addr);
  const pudt = pud_table(mm, addr);
  if (want_pmd_share(vma, addr) && (pudt === null || (pudt.child?.[pud_index(addr)] ?? null) === null))
    refuse_pmd_share(vma, addr);
  return yield* mm_alloc_pmd(m, mm, addr);
}

/** Returns the page table for a huge page of sz bytes, or null (mm/hugetlb.c: huge_pte_offset()). */
export function huge_pte_offset(_m: Machine, mm: mm_struct, addr: number, sz: number): ptdesc | null {
  const pudt = pud_table(mm, addr);
  if (pudt === null || sz === PUD_SIZE) return pudt;
  return pudt.child?.[pud_index(addr)] ?? null;
}

/** Returns the index of an address in the table of huge_pte_offset(). NON-KERNEL: upstream uses pointers. */
export function huge_pte_index(h: hstate, addr: number): number {
  return huge_page_size(h) === PUD_SIZE ? pud_index(addr) : pmd_index(addr);
}

/** Reads a hugetlb entry (include/asm-generic/hugetlb.h: huge_ptep_get()). */
export function huge_ptep_get(_m: Machine, _mm: mm_struct, _addr: number, pt: ptdesc, i: number): number {
  return ptep_get(pt, i);
}

/** Returns the lock of a hugetlb page table (include/linux/hugetlb.h: huge_pte_lockptr()). */
export function huge_pte_lockptr(h: hstate, mm: mm_struct, pt: ptdesc): spinlock {
  return huge_page_size(h) === PMD_SIZE ? pt.ptl : mm.page_table_lock;
}

/** Locks a hugetlb page table (include/linux/hugetlb.h: huge_pte_lock()). */
export function* huge_pte_lock(m: Machine, h: hstate, mm: mm_struct, pt: ptdesc): Gen<spinlock> {
  const ptl = huge_pte_lockptr(h, mm, pt);
  yield* spin_lock(m, ptl);
  return ptl;
}

/**
 * Returns the distance from the first to the last huge page of a page table (mm/hugetlb.c: hugetlb_mask_last_page()).
 */
export function hugetlb_mask_last_page(h: hstate): number {
  return huge_page_size(h) === PUD_SIZE ? P4D_SIZE - PUD_SIZE : PUD_SIZE - PMD_SIZE;
}

/**
 * Returns the address of the last huge page that the page table of addr can map. NON-KERNEL: upstream computes addr |
 * last_addr_mask.
 */
function last_in_table(h: hstate, addr: number): number {
  const span = hugetlb_mask_last_page(h) + huge_page_size(h);
  return ALIGN_DOWN(addr, span) + span - huge_page_size(h);
}

/**
 * Builds an entry for the folio, writable and dirty if `try_mkwrite` and if the vma is writable (mm/hugetlb.c:
 * make_huge_pte()).
 */
export function make_huge_pte(m: Machine, vma: vm_area_struct, folio: number, try_mkwrite: boolean): number {
  let entry = folio_mk_pte(m, folio, vma.vm_page_prot);
  entry = try_mkwrite && vma.vm_flags & VM_WRITE ? pte_mkwrite(pte_mkdirty(entry)) : pte_wrprotect(entry);
  return pte_set_flags(pte_mkyoung(entry), _PAGE_PSE);
}

/** Maps a copied folio in the child (mm/hugetlb.c: hugetlb_install_folio()). */
function hugetlb_install_folio(
  m: Machine,
  vma: vm_area_struct,
  pt: ptdesc,
  i: number,
  addr: number,
  new_folio: number,
  old: number,
): void {
  let newpte = make_huge_pte(m, vma, new_folio, true);
  folio_mark_uptodate(m, new_folio);
  folio_clear_hpg(m, new_folio, HPG_restore_reserve);
  hugetlb_add_new_anon_rmap(m, new_folio, vma, addr);
  if (userfaultfd_protected(vma) && pte_uffd(old)) newpte = pte_mkuffd(newpte);
  set_pte_at(m, vma.vm_mm, addr, pt, i, newpte);
  vma.vm_mm.hugetlb_usage += pages_per_huge_page(hstate_vma(m, vma));
  folio_set_hpg(m, new_folio, HPG_migratable);
}

/**
 * Copies the entries of a vma. Returns 0 or a negative errno. NON-KERNEL: the loop of upstream's
 * copy_hugetlb_page_range().
 */
function* copy_huge_ptes(
  m: Machine,
  dst: mm_struct,
  src: mm_struct,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  cow: boolean,
): Gen<number> {
  const h = hstate_vma(m, src_vma);
  const sz = huge_page_size(h);
  for (let addr = src_vma.vm_start; addr < src_vma.vm_end; addr += sz) {
    const src_pt = huge_pte_offset(m, src, addr, sz);
    if (src_pt === null) {
      addr = last_in_table(h, addr);
      continue;
    }
    const dst_pt = yield* huge_pte_alloc(m, dst, dst_vma, addr, sz);
    if (dst_pt === null) return -ENOMEM;
    const i = huge_pte_index(h, addr);
    let dst_ptl = yield* huge_pte_lock(m, h, dst, dst_pt);
    let src_ptl = yield* huge_pte_lock(m, h, src, src_pt);
    let entry = huge_ptep_get(m, src, addr, src_pt, i);
    for (;;) {
      if (pte_none(entry)) break;
      let softleaf = softleaf_from_pte(entry);
      if (softleaf_is_hwpoison(softleaf)) {
        set_pte_at(m, dst, addr, dst_pt, i, entry);
        break;
      }
      if (softleaf_is_migration(softleaf)) {
        const uffd = pte_uffd(entry);
        if (!m.device_private.is_migration_read(softleaf) && cow) {
          softleaf = make_readable_migration_entry_from_page(
            m,
            softleaf_to_page(m, softleaf),
            softleaf_to_flags(m, softleaf),
          );
          entry = softleaf_to_pte(softleaf);
          if (userfaultfd_protected(src_vma) && uffd) entry = pte_mkuffd(entry);
          set_pte_at(m, src, addr, src_pt, i, entry);
        }
        if (!userfaultfd_protected(dst_vma)) entry = pte_clear_uffd(entry);
        set_pte_at(m, dst, addr, dst_pt, i, entry);
        break;
      }
      if (pte_is_marker(entry)) {
        const marker = copy_pte_marker(m, softleaf, dst_vma);
        if (marker !== 0) set_pte_at(m, dst, addr, dst_pt, i, softleaf_to_pte(make_pte_marker_entry(marker)));
        break;
      }
      const pte_folio = page_folio(m, pfn_to_page(m, pte_pfn(entry)));
      folio_get(m, pte_folio);
      if (!folio_test_anon(m, pte_folio)) hugetlb_add_file_rmap(m, pte_folio);
      else if (hugetlb_try_dup_anon_rmap(m, pte_folio, src_vma) !== 0) {
        const src_pte_old = entry;
        spin_unlock(m, src_ptl);
        spin_unlock(m, dst_ptl);
        const new_folio = alloc_hugetlb_folio(m, dst_vma, addr, false);
        if (new_folio < 0) {
          folio_put(m, pte_folio);
          return new_folio;
        }
        const ret = copy_user_large_folio(m, new_folio, pte_folio, addr, dst_vma);
        folio_put(m, pte_folio);
        if (ret !== 0) {
          restore_reserve_on_error(m, h, dst_vma, addr, new_folio);
          folio_put(m, new_folio);
          return ret;
        }
        dst_ptl = yield* huge_pte_lock(m, h, dst, dst_pt);
        src_ptl = yield* huge_pte_lock(m, h, src, src_pt);
        entry = huge_ptep_get(m, src, addr, src_pt, i);
        if (entry !== src_pte_old) {
          restore_reserve_on_error(m, h, dst_vma, addr, new_folio);
          folio_put(m, new_folio);
          continue;
        }
        hugetlb_install_folio(m, dst_vma, dst_pt, i, addr, new_folio, src_pte_old);
        break;
      }
      if (!userfaultfd_protected(dst_vma)) entry = pte_clear_uffd(entry);
      if (cow) {
        ptep_set_wrprotect(m, src, addr, src_pt, i);
        entry = pte_wrprotect(entry);
      }
      set_pte_at(m, dst, addr, dst_pt, i, entry);
      dst.hugetlb_usage += pages_per_huge_page(h);
      break;
    }
    spin_unlock(m, src_ptl);
    spin_unlock(m, dst_ptl);
  }
  return 0;
}

/**
 * Copies the page tables of a hugetlb vma for fork. Returns 0 or a negative errno (mm/hugetlb.c:
 * copy_hugetlb_page_range()).
 */
export function* copy_hugetlb_page_range(
  m: Machine,
  dst: mm_struct,
  src: mm_struct,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): Gen<number> {
  const cow = is_cow_mapping(src_vma.vm_flags);
  const range = new mmu_notifier_range();
  if (cow) {
    mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, src, src_vma.vm_start, src_vma.vm_end);
    yield* mmu_notifier_invalidate_range_start(m, range);
    src.write_protect_seq++;
  } else yield* hugetlb_vma_lock_read(m, src_vma);
  const ret = yield* copy_huge_ptes(m, dst, src, dst_vma, src_vma, cow);
  if (cow) {
    src.write_protect_seq++;
    yield* mmu_notifier_invalidate_range_end(m, range);
  } else hugetlb_vma_unlock_read(m, src_vma);
  return ret;
}

/** Moves one entry to another page table (mm/hugetlb.c: move_huge_pte()). */
function* move_huge_pte(
  m: Machine,
  vma: vm_area_struct,
  old_addr: number,
  new_addr: number,
  src: ptdesc,
  dst: ptdesc,
): Gen<void> {
  const need_clear_uffd_wp = vma_has_uffd_without_event_remap(vma);
  const h = hstate_vma(m, vma);
  const mm = vma.vm_mm;
  const dst_ptl = yield* huge_pte_lock(m, h, mm, dst);
  const src_ptl = huge_pte_lockptr(h, mm, src);
  if (src_ptl !== dst_ptl) yield* spin_lock(m, src_ptl);
  let pte = ptep_get_and_clear(m, mm, old_addr, src, huge_pte_index(h, old_addr));
  const i = huge_pte_index(h, new_addr);
  if (need_clear_uffd_wp && pte_is_uffd_wp_marker(pte)) pte_clear(m, mm, new_addr, dst, i);
  else {
    if (need_clear_uffd_wp) pte = pte_clear_uffd(pte);
    set_pte_at(m, mm, new_addr, dst, i, pte);
  }
  if (src_ptl !== dst_ptl) spin_unlock(m, src_ptl);
  spin_unlock(m, dst_ptl);
}

/**
 * Moves the entries of `len` bytes to another vma. Returns the number of bytes done (mm/hugetlb.c:
 * move_hugetlb_page_tables()).
 */
export function* move_hugetlb_page_tables(
  m: Machine,
  vma: vm_area_struct,
  new_vma: vm_area_struct,
  old_addr: number,
  new_addr: number,
  len: number,
): Gen<number> {
  const h = hstate_vma(m, vma);
  const sem = (vma.vm_file?.f_mapping as address_space).i_mmap_rwsem;
  const sz = huge_page_size(h);
  const mm = vma.vm_mm;
  const old_end = old_addr + len;
  const range = new mmu_notifier_range();
  const tlb = new mmu_gather();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, old_addr, old_end);
  adjust_range_if_pmd_sharing_possible(m, vma, range);
  tlb_gather_mmu_vma(m, tlb, vma);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* hugetlb_vma_lock_write(m, vma);
  yield* down_write(m, sem);
  for (; old_addr < old_end; old_addr += sz, new_addr += sz) {
    const src = huge_pte_offset(m, mm, old_addr, sz);
    if (src === null) {
      const skip = last_in_table(h, old_addr) - old_addr;
      old_addr += skip;
      new_addr += skip;
      continue;
    }
    if (pte_none(huge_ptep_get(m, mm, old_addr, src, huge_pte_index(h, old_addr)))) continue;
    const dst = yield* huge_pte_alloc(m, mm, new_vma, new_addr, sz);
    if (dst === null) break;
    yield* move_huge_pte(m, vma, old_addr, new_addr, src, dst);
    tlb_remove_huge_tlb_entry(tlb, sz, old_addr);
  }
  tlb_flush_mmu_tlbonly(m, tlb);
  yield* mmu_notifier_invalidate_range_end(m, range);
  up_write(m, sem);
  hugetlb_vma_unlock_write(m, vma);
  tlb_finish_mmu(m, tlb);
  return len + old_addr - old_end;
}

/**
 * Unmaps the huge pages of a range, or only `folio` if it is not 0. The file's i_mmap_rwsem is held (mm/hugetlb.c:
 * __unmap_hugepage_range()).
 */
export function* __unmap_hugepage_range(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  start: number,
  end: number,
  folio: number,
  zap_flags: number,
): Gen<void> {
  const mm = vma.vm_mm;
  const folio_provided = folio !== 0;
  const h = hstate_vma(m, vma);
  const sz = huge_page_size(h);
  WARN_ON(m, !is_vm_hugetlb_page(vma), '__unmap_hugepage_range');
  BUG_ON(start % sz !== 0 || end % sz !== 0, 'mm/hugetlb.c: __unmap_hugepage_range() of a part of a huge page');
  tlb_change_page_size(tlb, sz);
  tlb_start_vma(m, tlb, vma);
  for (let address = start; address < end; address += sz) {
    const pt = huge_pte_offset(m, mm, address, sz);
    if (pt === null) {
      address = last_in_table(h, address);
      continue;
    }
    const i = huge_pte_index(h, address);
    const ptl = yield* huge_pte_lock(m, h, mm, pt);
    let pte = huge_ptep_get(m, mm, address, pt, i);
    if (pte_none(pte)) {
      spin_unlock(m, ptl);
      continue;
    }
    const keep_marker = userfaultfd_wp(vma) && !(zap_flags & ZAP_FLAG_DROP_MARKER);
    const marker = softleaf_to_pte(make_pte_marker_entry(PTE_MARKER_UFFD_WP));
    if (!pte_present(pte)) {
      if (keep_marker && pte_swp_uffd_any(pte)) set_pte_at(m, mm, address, pt, i, marker);
      else pte_clear(m, mm, address, pt, i);
      spin_unlock(m, ptl);
      continue;
    }
    const mapped = page_folio(m, pfn_to_page(m, pte_pfn(pte)));
    if (folio_provided) {
      if (folio !== mapped) {
        spin_unlock(m, ptl);
        continue;
      }
      set_vma_resv_flags(m, vma, HPAGE_RESV_UNMAPPED);
    } else folio = mapped;
    pte = ptep_get_and_clear(m, mm, address, pt, i);
    tlb_remove_huge_tlb_entry(tlb, sz, address);
    if (pte_dirty(pte)) folio_mark_dirty(m, folio);
    if (keep_marker && pte_uffd(pte)) set_pte_at(m, mm, address, pt, i, marker);
    mm.hugetlb_usage -= pages_per_huge_page(h);
    hugetlb_remove_rmap(m, folio);
    spin_unlock(m, ptl);
    if (h.surplus_huge_pages === 0 && __vma_private_lock(vma) && !folio_mapped(m, folio) && folio_test_anon(m, folio)) {
      folio_set_hpg(m, folio, HPG_restore_reserve);
      if (vma_needs_reservation(h, vma, address) !== 0) vma_add_reservation(h, vma, address);
    }
    tlb_remove_page_size(m, tlb, folio, folio_size(m, folio));
    if (folio_provided) break;
  }
  tlb_end_vma(m, tlb, vma);
}

/** Unmaps a range with mmu notifiers and a TLB flush (mm/hugetlb.c: unmap_hugepage_range()). */
export function* unmap_hugepage_range(
  m: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  folio: number,
  zap_flags: number,
): Gen<void> {
  const range = new mmu_notifier_range();
  const tlb = new mmu_gather();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, vma.vm_mm, start, end);
  adjust_range_if_pmd_sharing_possible(m, vma, range);
  yield* mmu_notifier_invalidate_range_start(m, range);
  tlb_gather_mmu(m, tlb, vma.vm_mm);
  yield* __unmap_hugepage_range(m, tlb, vma, start, end, folio, zap_flags);
  yield* mmu_notifier_invalidate_range_end(m, range);
  tlb_finish_mmu(m, tlb);
}

/**
 * Changes the protection of a range. Returns the number of base pages changed, or -ENOMEM (mm/hugetlb.c:
 * hugetlb_change_protection()).
 */
export function* hugetlb_change_protection(
  m: Machine,
  vma: vm_area_struct,
  address: number,
  end: number,
  newprot: number,
  cp_flags: number,
): Gen<number> {
  const mm = vma.vm_mm;
  const h = hstate_vma(m, vma);
  const psize = huge_page_size(h);
  const sem = (vma.vm_file as file).f_mapping?.i_mmap_rwsem as address_space['i_mmap_rwsem'];
  const uffd_wp = (cp_flags & MM_CP_UFFD_WP) !== 0;
  const uffd_wp_resolve = (cp_flags & MM_CP_UFFD_WP_RESOLVE) !== 0;
  let pages = 0;
  const range = new mmu_notifier_range();
  const tlb = new mmu_gather();
  mmu_notifier_range_init(range, MMU_NOTIFY_PROTECTION_VMA, 0, mm, address, end);
  adjust_range_if_pmd_sharing_possible(m, vma, range);
  BUG_ON(address >= end, 'mm/hugetlb.c: hugetlb_change_protection() of nothing');
  tlb_gather_mmu_vma(m, tlb, vma);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* hugetlb_vma_lock_write(m, vma);
  yield* down_write(m, sem);
  for (; address < end; address += psize) {
    let pt = huge_pte_offset(m, mm, address, psize);
    if (pt === null) {
      if (!uffd_wp) {
        address = last_in_table(h, address);
        continue;
      }
      pt = yield* huge_pte_alloc(m, mm, vma, address, psize);
      if (pt === null) {
        pages = -ENOMEM;
        break;
      }
    }
    const i = huge_pte_index(h, address);
    const ptl = yield* huge_pte_lock(m, h, mm, pt);
    let pte = huge_ptep_get(m, mm, address, pt, i);
    const entry = softleaf_from_pte(pte);
    if (pte_none(pte)) {
      if (uffd_wp) set_pte_at(m, mm, address, pt, i, softleaf_to_pte(make_pte_marker_entry(PTE_MARKER_UFFD_WP)));
    } else if (softleaf_is_migration(entry)) {
      let newpte = pte;
      if (softleaf_is_migration_write(entry)) {
        const page = softleaf_to_page(m, entry);
        const make = PageAnon(m, page)
          ? make_readable_exclusive_migration_entry_from_page
          : make_readable_migration_entry_from_page;
        newpte = softleaf_to_pte(make(m, page, softleaf_to_flags(m, entry)));
        pages++;
      }
      if (uffd_wp) newpte = pte_mkuffd(newpte);
      else if (uffd_wp_resolve) newpte = pte_clear_uffd(newpte);
      if (newpte !== pte) set_pte_at(m, mm, address, pt, i, newpte);
    } else if (pte_is_marker(pte)) {
      if (pte_is_uffd_wp_marker(pte) && uffd_wp_resolve) pte_clear(m, mm, address, pt, i);
    } else if (!softleaf_is_hwpoison(entry)) {
      const old_pte = ptep_get_and_clear(m, mm, address, pt, i);
      pte = pte_set_flags(pte_modify(old_pte, newprot), _PAGE_PSE);
      if (uffd_wp) pte = pte_mkuffd(pte);
      else if (uffd_wp_resolve) pte = pte_clear_uffd(pte);
      set_pte_at(m, mm, address, pt, i, pte);
      pages++;
      tlb_remove_huge_tlb_entry(tlb, psize, address);
    }
    spin_unlock(m, ptl);
    yield* cond_resched(m);
  }
  tlb_flush_mmu_tlbonly(m, tlb);
  up_write(m, sem);
  hugetlb_vma_unlock_write(m, vma);
  yield* mmu_notifier_invalidate_range_end(m, range);
  tlb_finish_mmu(m, tlb);
  return pages > 0 ? pages * pages_per_huge_page(h) : pages;
}

/**
 * Takes the locks for a zap and extends the range where page tables may be shared (include/linux/hugetlb.h:
 * hugetlb_zap_begin()).
 */
export function* hugetlb_zap_begin(m: Machine, vma: vm_area_struct, range: { start: number; end: number }): Gen<void> {
  if (vma.vm_file === null) return;
  adjust_range_if_pmd_sharing_possible(m, vma, range);
  yield* hugetlb_vma_lock_write(m, vma);
  yield* down_write(m, (vma.vm_file.f_mapping as address_space).i_mmap_rwsem);
}

/**
 * Releases the locks of hugetlb_zap_begin(); at the last unmap the vma lock is freed (include/linux/hugetlb.h:
 * hugetlb_zap_end()).
 */
export function hugetlb_zap_end(m: Machine, vma: vm_area_struct, zap_flags: number): void {
  if (vma.vm_file === null) return;
  if (zap_flags & ZAP_FLAG_UNMAP) __hugetlb_vma_unlock_write_free(m, vma);
  else hugetlb_vma_unlock_write(m, vma);
  up_write(m, (vma.vm_file.f_mapping as address_space).i_mmap_rwsem);
}

/** Unshares page tables before a vma is split; none are shared here (mm/hugetlb.c: hugetlb_split()). */
export function hugetlb_split(_m: Machine, _vma: vm_area_struct, _addr: number): void {}

/**
 * Widens a range to whole page tables where those may be shared (mm/hugetlb.c: adjust_range_if_pmd_sharing_possible()).
 */
export function adjust_range_if_pmd_sharing_possible(
  _m: Machine,
  vma: vm_area_struct,
  range: { start: number; end: number },
): void {
  const v_start = ALIGN(vma.vm_start, PUD_SIZE);
  const v_end = ALIGN_DOWN(vma.vm_end, PUD_SIZE);
  if (!(vma.vm_flags & VM_MAYSHARE) || v_end <= v_start || range.end <= v_start || range.start >= v_end) return;
  if (range.start > v_start) range.start = ALIGN_DOWN(range.start, PUD_SIZE);
  if (range.end < v_end) range.end = ALIGN(range.end, PUD_SIZE);
}

/** Unshares all page tables of a vma; none are shared here (mm/hugetlb.c: hugetlb_unshare_all_pmds()). */
export function hugetlb_unshare_all_pmds(_m: Machine, _vma: vm_area_struct): void {}
