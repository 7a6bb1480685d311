// SPDX-License-Identifier: GPL-2.0-only

import {
  mm_inc_nr_ptes,
  pmd_lock,
  pmd_off,
  pte_alloc_one,
  pte_free,
  pte_unmap_unlock,
} from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  HPAGE_PMD_NR,
  HPAGE_PMD_ORDER,
  pfn_pte,
  pmd_index,
  pmd_leaf,
  pmd_mkdirty,
  pmd_mkwrite,
  pmd_none,
  pmd_trans_huge,
  type ptdesc,
  pte_index,
  pte_mkdirty,
  pte_mkwrite,
  pte_none,
  pte_pfn,
  pte_present,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { folio_mk_pmd, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import { set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { Oops, printk, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { folio_add_lru_vma } from '../folio.ts';
import { split_huge_pmd } from '../huge_memory/split_pmd.ts';
import {
  count_mthp_stat,
  count_vm_event,
  is_huge_zero_pmd,
  MTHP_STAT_ANON_FAULT_ALLOC,
  thp_vma_suitable_order,
} from '../huge_memory/sysfs.ts';
import {
  make_readable_device_private_entry_from_page,
  make_writable_device_private_entry_from_page,
} from '../leafops.ts';
import { pte_alloc } from '../memory/pgalloc.ts';
import { folio_is_device_coherent, folio_is_device_private } from '../memremap.ts';
import {
  add_mm_counter,
  MM_ANONPAGES,
  type mm_struct,
  type vm_area_struct,
  VM_UFFD_MISSING,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm_types.ts';
import { check_stable_address_space } from '../oom_kill.ts';
import { folio_mark_uptodate, PG_large_rmappable, PG_uptodate, set_flags } from '../page-flags.ts';
import { folio_get, folio_is_zone_device, folio_test_large, page_folio, page_to_pfn } from '../page.ts';
import {
  pgtable_trans_huge_deposit,
  pmdp_invalidate,
  pte_offset_map_lock,
  ptep_clear_flush,
} from '../pgtable-generic.ts';
import { anon_vma_prepare } from '../rmap/anon_vma.ts';
import { folio_add_new_anon_rmap, RMAP_EXCLUSIVE } from '../rmap/rmap.ts';
import { mm_alloc_pmd } from '../userfaultfd/mfill.ts';
import { MIGRATE_PFN_COMPOUND, MIGRATE_PFN_MIGRATE, migrate_pfn_to_page, type migrate_vma } from './migrate_vma.ts';

/** Clears MIGRATE_PFN_MIGRATE of an entry. NON-KERNEL: entries are doubles, which have no &= operator. */
function clear_migrate(src: Float64Array, at: number): void {
  const v = src[at];
  src[at] = v - (v & MIGRATE_PFN_MIGRATE);
}

/** Sets the order of a large folio (mm/internal.h: folio_set_order()). */
function folio_set_order(m: Machine, folio: number, order: number): void {
  if (WARN_ON_ONCE(m, !folio_test_large(m, folio), 'folio_set_order')) return;
  m.page.order[folio] = order;
}

/**
 * Builds a device-private entry for the page, writable if the vma is. NON-KERNEL: common lines of upstream's
 * migrate_vma_insert_huge_pmd_page() and migrate_vma_insert_page().
 */
function device_private_entry(m: Machine, vma: vm_area_struct, page: number): number {
  const make =
    vma.vm_flags & VM_WRITE
      ? make_writable_device_private_entry_from_page
      : make_readable_device_private_entry_from_page;
  return make(m, page);
}

/**
 * Maps a PMD-sized destination folio where nothing or the huge zero folio is mapped. Returns 0 or a negative errno
 * (mm/migrate_device.c: migrate_vma_insert_huge_pmd_page()).
 */
function* migrate_vma_insert_huge_pmd_page(
  m: Machine,
  migrate: migrate_vma,
  addr: number,
  page: number,
  src: Float64Array,
  at: number,
  pmdt: ptdesc,
): Gen<number> {
  const pi = pmd_index(addr);
  const vma = migrate.vma as vm_area_struct;
  const mm = vma.vm_mm;
  const folio = page_folio(m, page);
  if (!thp_vma_suitable_order(vma, addr, HPAGE_PMD_ORDER)) return -EINVAL;
  const ret = yield* anon_vma_prepare(m, vma);
  if (ret !== 0) return ret;
  folio_set_order(m, folio, HPAGE_PMD_ORDER);
  set_flags(m, folio, PG_large_rmappable | PG_uptodate);

  const abort = (): number => {
    for (let i = at; i < at + HPAGE_PMD_NR; i++) clear_migrate(src, i);
    return 0;
  };
  const pgtable = pte_alloc_one(m, mm);
  if (pgtable === null) return abort();

  let entry: number;
  if (folio_is_device_private(m, folio)) {
    entry = device_private_entry(m, vma, page);
  } else {
    if (folio_is_zone_device(m, folio) && !folio_is_device_coherent(m, folio)) {
      pte_free(m, mm, pgtable);
      return abort();
    }
    entry = folio_mk_pmd(m, folio, vma.vm_page_prot);
    if (vma.vm_flags & VM_WRITE) entry = pmd_mkwrite(pmd_mkdirty(entry));
  }

  const ptl = yield* pmd_lock(m, mm, pmdt);
  const old = pmdt.entry[pi];
  const flush = is_huge_zero_pmd(m, old);
  const unstable = check_stable_address_space(mm) !== 0;
  if (unstable && m.patch.reaped_keeps_pmd_lock) return abort();
  if (unstable || (vma.vm_flags & VM_UFFD_MISSING) !== 0 || (!flush && !pmd_none(old))) {
    spin_unlock(m, ptl);
    pte_free(m, mm, pgtable);
    return abort();
  }

  add_mm_counter(mm, MM_ANONPAGES, HPAGE_PMD_NR);
  folio_add_new_anon_rmap(m, folio, vma, addr, RMAP_EXCLUSIVE);
  if (!folio_is_zone_device(m, folio)) folio_add_lru_vma(m, folio, vma);
  folio_get(m, folio);
  if (flush) {
    pte_free(m, mm, pgtable);
    pmdp_invalidate(m, vma, addr, pmdt, pi);
  } else {
    pgtable_trans_huge_deposit(m, mm, pmdt, pi, pgtable);
    mm_inc_nr_ptes(mm);
  }
  set_pmd_at(m, mm, addr, pmdt, pi, entry);
  spin_unlock(m, ptl);
  count_vm_event(m, 'THP_FAULT_ALLOC');
  count_mthp_stat(m, HPAGE_PMD_ORDER, MTHP_STAT_ANON_FAULT_ALLOC);
  return 0;
}

/** Says once that such a page cannot be mapped. NON-KERNEL: a line of upstream's migrate_vma_insert_page(). */
export function unsupported_zone_device_page(m: Machine): void {
  if (m.log.first('migrate_vma_insert_page')) printk(m, 'Unsupported ZONE_DEVICE page type.');
}

/** Returns false in an address space that is being reaped. NON-KERNEL: a line of upstream's migrate_vma_insert_page(). */
function may_insert(m: Machine, mm: mm_struct): boolean {
  return check_stable_address_space(mm) === 0 || m.patch.insert_ignores_reaping;
}

/**
 * Maps one destination page. Returns true on success. NON-KERNEL: upstream's migrate_vma_insert_page() up to its label
 * `abort`.
 */
function* insert_page(
  m: Machine,
  migrate: migrate_vma,
  addr: number,
  page: number,
  dst: number,
  src: Float64Array,
  at: number,
): Gen<boolean> {
  const folio = page_folio(m, page);
  const vma = migrate.vma as vm_area_struct;
  const mm = vma.vm_mm;
  if (!vma_is_anonymous(vma)) return false;
  const pmdt = pmd_off(mm, addr) ?? (yield* mm_alloc_pmd(m, mm, addr));
  if (pmdt === null) return false;
  const pi = pmd_index(addr);

  if (dst & MIGRATE_PFN_COMPOUND)
    return (yield* migrate_vma_insert_huge_pmd_page(m, migrate, addr, page, src, at, pmdt)) === 0;

  const pmd = pmdt.entry[pi];
  if (!pmd_none(pmd)) {
    if (pmd_trans_huge(pmd)) {
      if (!is_huge_zero_pmd(m, pmd)) return false;
      yield* split_huge_pmd(m, vma, pmdt, pi, addr);
    } else if (pmd_leaf(pmd)) {
      return false;
    }
  }
  if (pmd_none(pmdt.entry[pi]) && (yield* pte_alloc(m, mm, pmdt, pi)) !== 0) return false;
  if (vma.anon_vma === null && (yield* anon_vma_prepare(m, vma)) !== 0) return false;
  folio_mark_uptodate(m, folio);

  const zone_device = folio_is_zone_device(m, folio);
  let entry: number;
  if (zone_device && folio_is_device_private(m, folio)) {
    entry = device_private_entry(m, vma, page);
  } else {
    if (zone_device && !folio_is_device_coherent(m, folio)) {
      m.seam.unsupported_zone_device_page(m);
      return false;
    }
    entry = pfn_pte(page_to_pfn(m, page), vma.vm_page_prot);
    if (vma.vm_flags & VM_WRITE) entry = pte_mkwrite(pte_mkdirty(entry));
  }

  const pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
  if (pt === null) return false;
  const i = pte_index(addr);
  const orig_pte = pt.entry[i];
  let flush = false;
  let ok = may_insert(m, mm);
  if (ok && pte_present(orig_pte)) {
    flush = pte_pfn(orig_pte) === page_to_pfn(m, m.zero_page);
    ok = flush;
  } else if (!pte_none(orig_pte)) {
    ok = false;
  }
  // Missing faults have to be delivered to userfaultfd.
  if (!ok || (vma.vm_flags & VM_UFFD_MISSING) !== 0) {
    pte_unmap_unlock(m, pt);
    return false;
  }
  add_mm_counter(mm, MM_ANONPAGES, 1);
  folio_add_new_anon_rmap(m, folio, vma, addr, RMAP_EXCLUSIVE);
  if (!zone_device) folio_add_lru_vma(m, folio, vma);
  folio_get(m, folio);
  if (flush) ptep_clear_flush(m, vma, addr, pt, i);
  set_pte_at(m, mm, addr, pt, i, entry);
  pte_unmap_unlock(m, pt);
  src[at] = MIGRATE_PFN_MIGRATE;
  return true;
}

/**
 * Maps the destination page of entry `at` where nothing or the zero page is mapped; on failure the source entry loses
 * MIGRATE_PFN_MIGRATE (mm/migrate_device.c: migrate_vma_insert_page()).
 */
export function* migrate_vma_insert_page(
  m: Machine,
  migrate: migrate_vma,
  addr: number,
  dst_pfns: Float64Array,
  src: Float64Array,
  at: number,
): Gen<void> {
  const dst = dst_pfns[at];
  const page = migrate_pfn_to_page(m, dst);
  // Upstream calls page_folio() on the NULL page.
  if (page === 0) throw new Oops('BUG: kernel NULL pointer dereference, address: 0000000000000008');
  if (!(yield* insert_page(m, migrate, addr, page, dst, src, at))) clear_migrate(src, at);
}
