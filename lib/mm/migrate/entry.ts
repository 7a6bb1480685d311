// SPDX-License-Identifier: GPL-2.0-only

import { leaf_pte_mkuffd } from '../../arch/x86/mm/leaf_as_pte.ts';
import { pmd_lock, pmd_off } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  _PAGE_SOFT_DIRTY,
  HPAGE_PMD_ORDER,
  pfn_pte,
  pmd_index,
  type ptdesc,
  pte_clear_flags,
  pte_index,
  pte_mkdirty,
  pte_mkold,
  pte_mksoft_dirty,
  pte_mkspecial,
  pte_mkuffd,
  pte_mkwrite,
  pte_none,
  pte_present,
  pte_soft_dirty,
  pte_uffd,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN } from '../../errno.ts';
import type { address_space } from '../../fs/fs.ts';
import { done, type Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { softleaf_entry_wait_on_locked } from '../filemap/folio_lock.ts';
import { folio_unqueue_deferred_split } from '../huge_memory/deferred_split.ts';
import { remove_migration_pmd } from '../huge_memory/migration.ts';
import { mod_mthp_stat, MTHP_STAT_NR_ANON } from '../huge_memory/sysfs.ts';
import { hstate_vma } from '../hugetlb/pool.ts';
import { hugetlb_vma_unlock_read } from '../hugetlb/resv.ts';
import { huge_pte_lock, huge_ptep_get } from '../hugetlb/vma.ts';
import {
  make_readable_device_private_entry_from_page,
  make_writable_device_private_entry_from_page,
  pmd_is_migration_entry,
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_is_migration,
  softleaf_is_migration_dirty,
  softleaf_is_migration_write,
  softleaf_is_migration_young,
  softleaf_to_page,
  softleaf_to_pfn,
} from '../leafops.ts';
import { folio_is_device_private } from '../memremap.ts';
import { add_mm_counter, mm_counter, type mm_struct, type vm_area_struct, VM_LOCKED } from '../mm_types.ts';
import {
  folio_test_dirty,
  folio_test_locked,
  folio_test_mlocked,
  PAGE_FLAGS_MIGRATED,
  PageHWPoison,
  PG_active,
  PG_dirty,
  PG_head,
  PG_large_rmappable,
  PG_private,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_writeback,
} from '../page-flags.ts';
import {
  folio_get,
  folio_nr_pages,
  folio_order,
  folio_page,
  folio_ref_add,
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  folio_test_anon,
  folio_test_hugetlb,
  folio_test_large,
  page_to_pfn,
  PageCompound,
} from '../page.ts';
import {
  DEFINE_FOLIO_VMA_WALK,
  page_vma_mapped_walk,
  type page_vma_mapped_walk as walk_state,
  page_vma_mapped_walk_last,
  PVMW_MIGRATION,
  PVMW_SYNC,
} from '../page_vma_mapped.ts';
import { pte_offset_map, pte_offset_map_lock } from '../pgtable-generic.ts';
import {
  folio_add_anon_rmap_pte,
  folio_add_file_rmap_pte,
  folio_expected_ref_count,
  folio_pgoff,
  hugetlb_add_anon_rmap,
  hugetlb_add_file_rmap,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
  vma_anon_address,
} from '../rmap/rmap.ts';
import {
  rmap_walk,
  type rmap_walk_control,
  rmap_walk_locked,
  TTU_RMAP_LOCKED,
  TTU_USE_SHARED_ZEROPAGE,
} from '../rmap/walk.ts';
import { folio_anon_vma } from '../util.ts';

/**
 * Maps the zero page instead of a page of zeroes. Returns true if it did (mm/migrate.c:
 * try_to_map_unused_to_zeropage()).
 */
function try_to_map_unused_to_zeropage(
  m: Machine,
  pvmw: walk_state,
  folio: number,
  old_pte: number,
  idx: number,
): boolean {
  const page = folio_page(folio, idx);
  if (PageCompound(m, page) || PageHWPoison(m, page)) return false;
  BUG_ON(
    !folio_test_anon(m, folio) || !folio_test_locked(m, page) || pte_present(old_pte),
    'mm/migrate.c: try_to_map_unused_to_zeropage()',
  );
  WARN_ON_ONCE(m, folio_is_device_private(m, folio), 'try_to_map_unused_to_zeropage');
  const vma = pvmw.vma;
  if (folio_test_mlocked(m, folio) || (vma.vm_flags & VM_LOCKED) !== 0) return false;
  if (!m.ram.is_zero(page_to_pfn(m, page))) return false;
  let newpte = pte_mkspecial(pfn_pte(page_to_pfn(m, m.zero_page), vma.vm_page_prot));
  if (pte_soft_dirty(old_pte)) newpte = pte_mksoft_dirty(newpte);
  if (pte_uffd(old_pte)) newpte = pte_mkuffd(newpte);
  set_pte_at(m, vma.vm_mm, pvmw.address, pvmw.pte as ptdesc, pvmw.ptei, newpte);
  add_mm_counter(vma.vm_mm, mm_counter(m, folio), -1);
  return true;
}

/**
 * Replaces one migration entry by a mapping of page `idx` of the folio. NON-KERNEL: the pte part of upstream's
 * remove_migration_pte().
 */
function restore_pte(
  m: Machine,
  folio: number,
  idx: number,
  vma: vm_area_struct,
  address: number,
  pt: ptdesc,
  i: number,
): void {
  const old_pte = pt.entry[i];
  const entry = softleaf_from_pte(old_pte);
  folio_get(m, folio);
  const page = folio_page(folio, idx);
  const write = softleaf_is_migration_write(entry);
  let pte: number;
  if (folio_is_device_private(m, folio)) {
    pte = write
      ? make_writable_device_private_entry_from_page(m, page)
      : make_readable_device_private_entry_from_page(m, page);
    if (pte_soft_dirty(old_pte)) pte = pte_mksoft_dirty(pte);
    if (pte_uffd(old_pte)) pte = m.patch.private_uffd_wp_as_present ? leaf_pte_mkuffd(pte) : pte_mkuffd(pte);
  } else {
    pte = pfn_pte(page_to_pfn(m, page), vma.vm_page_prot);
    if (!softleaf_is_migration_young(m, entry)) pte = pte_mkold(pte);
    if (folio_test_dirty(m, folio) && softleaf_is_migration_dirty(m, entry)) pte = pte_mkdirty(pte);
    pte = pte_soft_dirty(old_pte) ? pte_mksoft_dirty(pte) : pte_clear_flags(pte, _PAGE_SOFT_DIRTY);
    if (write) pte = pte_mkwrite(pte);
    else if (pte_uffd(old_pte)) pte = pte_mkuffd(pte);
  }
  const anon = folio_test_anon(m, folio);
  const rmap_flags = anon && !m.device_private.is_migration_read(entry) ? RMAP_EXCLUSIVE : RMAP_NONE;
  if (folio_test_hugetlb(m, folio)) {
    if (anon) hugetlb_add_anon_rmap(m, folio, vma, address, rmap_flags);
    else hugetlb_add_file_rmap(m, folio);
  } else if (anon) {
    folio_add_anon_rmap_pte(m, folio, page, vma, address, rmap_flags);
  } else {
    folio_add_file_rmap_pte(m, folio, page, vma);
  }
  set_pte_at(m, vma.vm_mm, address, pt, i, pte);
}

/**
 * Replaces the migration entries of one vma; `arg` is the source folio, negative with TTU_USE_SHARED_ZEROPAGE
 * (mm/migrate.c: remove_migration_pte()).
 */
function* remove_migration_pte(
  m: Machine,
  folio: number,
  vma: vm_area_struct,
  addr: number,
  arg: number,
): Gen<boolean> {
  const mm = vma.vm_mm;
  const zeropage = arg < 0;
  const src = zeropage ? -arg : arg;
  const pvmw = DEFINE_FOLIO_VMA_WALK(m, src, vma, addr, PVMW_SYNC | PVMW_MIGRATION);
  while (yield* page_vma_mapped_walk(m, pvmw)) {
    if (pvmw.pte === null) {
      BUG_ON(
        folio_test_hugetlb(m, folio) || folio_order(m, folio) < HPAGE_PMD_ORDER,
        'mm/migrate.c: remove_migration_pte(): a pmd migration entry of a folio that is not huge',
      );
      remove_migration_pmd(m, pvmw, folio);
      continue;
    }
    const pt = pvmw.pte;
    const i = pvmw.ptei;
    const hugetlb = folio_test_hugetlb(m, folio);
    const old_pte = hugetlb ? huge_ptep_get(m, mm, pvmw.address, pt, i) : pt.entry[i];
    const entry = softleaf_from_pte(old_pte);
    const idx = folio_test_large(m, folio) && !hugetlb ? softleaf_to_pfn(m, entry) - pvmw.pfn : 0;
    if (zeropage && try_to_map_unused_to_zeropage(m, pvmw, folio, old_pte, idx)) continue;
    restore_pte(m, folio, idx, vma, pvmw.address, pt, i);
    if (page_vma_mapped_walk_last(m, pvmw)) break;
  }
  return true;
}

/**
 * Replaces the migration entries of one anonymous page that a single vma can map, without generators, if all locks are
 * free; takes a third of the time of the rmap walk. Returns false if nothing was done. NON-KERNEL.
 */
function remove_migration_ptes_fast(m: Machine, src: number, dst: number): boolean {
  const p = m.page;
  if (m.sched.explore || (p.flags[src] | p.flags[dst]) & PG_head) return false;
  const av = folio_anon_vma(m, dst);
  if (av === null || av.rb_root.length !== 1 || p.mapping[src] >> 2 !== av.id) return false;
  const sem = av.root.rwsem;
  if (sem.writer !== null || sem.waiters.length > 0) return false;
  const vma = av.rb_root[0].vma;
  const address = vma_anon_address(vma, folio_pgoff(m, dst), 1);
  if (address < 0) return false;
  const pmdt = pmd_off(vma.vm_mm, address);
  const pt = pmdt === null ? null : pte_offset_map(m, pmdt, pmd_index(address));
  if (pt === null || pt.ptl.owner !== null) return false;
  const i = pte_index(address);
  const old_pte = pt.entry[i];
  const entry = softleaf_from_pte(old_pte);
  if (!softleaf_is_migration(entry) || softleaf_to_page(m, entry) !== src) return false;
  restore_pte(m, dst, 0, vma, address, pt, i);
  return true;
}

/**
 * Replaces the migration entries of `src` by mappings of `dst`, which is `src` if the migration failed. With
 * TTU_USE_SHARED_ZEROPAGE pages of zeroes become the zero page (mm/migrate.c: remove_migration_ptes()).
 */
export function remove_migration_ptes(m: Machine, src: number, dst: number, flags: number): Gen<void> {
  if (flags === 0 && remove_migration_ptes_fast(m, src, dst)) return done(undefined);
  return remove_migration_ptes_slowpath(m, src, dst, flags);
}

/** The part of remove_migration_ptes() that may sleep. NON-KERNEL. */
function* remove_migration_ptes_slowpath(m: Machine, src: number, dst: number, flags: number): Gen<void> {
  const zeropage = (flags & TTU_USE_SHARED_ZEROPAGE) !== 0;
  BUG_ON(zeropage && src !== dst, 'mm/migrate.c: remove_migration_ptes() with two folios and the zero page');
  const rwc: rmap_walk_control = { rmap_one: remove_migration_pte, arg: zeropage ? -src : src };
  if (flags & TTU_RMAP_LOCKED) yield* rmap_walk_locked(m, dst, rwc);
  else yield* rmap_walk(m, dst, rwc);
}

/** Waits until the migration entry at the address is gone (mm/migrate.c: migration_entry_wait()). */
export function* migration_entry_wait(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, address: number): Gen<void> {
  const pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, address);
  if (pt === null) return;
  const pte = pt.entry[pte_index(address)];
  if (!pte_none(pte) && !pte_present(pte)) {
    const entry = softleaf_from_pte(pte);
    if (softleaf_is_migration(entry)) {
      yield* softleaf_entry_wait_on_locked(m, entry, pt.ptl);
      return;
    }
  }
  spin_unlock(m, pt.ptl);
}

/** Waits until a hugetlb migration entry is gone; releases the vma lock (mm/migrate.c: migration_entry_wait_huge()). */
export function* migration_entry_wait_huge(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
): Gen<void> {
  const ptl = yield* huge_pte_lock(m, hstate_vma(m, vma), vma.vm_mm, pt);
  const pte = huge_ptep_get(m, vma.vm_mm, addr, pt, i);
  const entry = softleaf_from_pte(pte);
  if (!pte_none(pte) && softleaf_is_migration(entry)) {
    hugetlb_vma_unlock_read(m, vma);
    yield* softleaf_entry_wait_on_locked(m, entry, ptl);
    return;
  }
  spin_unlock(m, ptl);
  hugetlb_vma_unlock_read(m, vma);
}

/** Waits until the pmd's migration entry is gone (mm/migrate.c: pmd_migration_entry_wait()). */
export function* pmd_migration_entry_wait(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number): Gen<void> {
  yield* pmd_lock(m, mm, pmdt);
  const pmd = pmdt.entry[pi];
  if (pmd_is_migration_entry(pmd)) yield* softleaf_entry_wait_on_locked(m, softleaf_from_pmd(pmd), pmdt.ptl);
  else spin_unlock(m, pmdt.ptl);
}

/**
 * Moves the mapping of a folio with a known expected refcount. Returns 0 or -EAGAIN (mm/migrate.c:
 * __folio_migrate_mapping()).
 */
export function __folio_migrate_mapping(
  m: Machine,
  mapping: address_space | null,
  newfolio: number,
  folio: number,
  expected_count: number,
): number {
  const p = m.page;
  const flags = p.flags[folio];
  if (mapping === null) {
    if ((flags & (PG_head | PG_large_rmappable)) === (PG_head | PG_large_rmappable)) {
      if (!folio_ref_freeze(m, folio, expected_count)) return -EAGAIN;
      folio_unqueue_deferred_split(m, folio);
      folio_ref_unfreeze(m, folio, expected_count);
    }
    p.index[newfolio] = p.index[folio];
    p.mapping[newfolio] = p.mapping[folio];
    if (flags & PG_head && folio_test_anon(m, folio) && !folio_test_hugetlb(m, folio)) {
      mod_mthp_stat(m, folio_order(m, folio), MTHP_STAT_NR_ANON, 1);
    }
    p.flags[newfolio] |= flags & PG_swapbacked;
    return 0;
  }
  if (!folio_ref_freeze(m, folio, expected_count)) return -EAGAIN;
  if (flags & PG_head) folio_unqueue_deferred_split(m, folio);
  const nr = folio_nr_pages(m, folio);
  p.index[newfolio] = p.index[folio];
  p.mapping[newfolio] = p.mapping[folio];
  folio_ref_add(m, newfolio, nr);
  p.flags[newfolio] |= flags & (PG_swapbacked | PG_dirty);
  p.flags[folio] &= ~PG_dirty;
  mapping.i_pages.set(p.index[folio], newfolio);
  folio_ref_unfreeze(m, folio, expected_count - nr);
  return 0;
}

/**
 * Replaces the folio by newfolio in its mapping. Returns -EAGAIN if anyone but the page cache, PG_private, the caller
 * and `extra_count` others holds a reference (mm/migrate.c: folio_migrate_mapping()).
 */
export function folio_migrate_mapping(
  m: Machine,
  mapping: address_space | null,
  newfolio: number,
  folio: number,
  extra_count: number,
): number {
  const expected_count = folio_expected_ref_count(m, folio) + extra_count + 1;
  if (folio_ref_count(m, folio) !== expected_count) return -EAGAIN;
  return __folio_migrate_mapping(m, mapping, newfolio, folio, expected_count);
}

/**
 * Copies the folio's flags and the state behind them (mm/migrate.c: folio_migrate_flags()). Leaves out NUMA hints,
 * memory cgroups and page owners: not configured.
 */
export function folio_migrate_flags(m: Machine, newfolio: number, folio: number): void {
  const p = m.page;
  const flags = p.flags[folio];
  let add = flags & PAGE_FLAGS_MIGRATED;
  let drop = PG_swapcache | PG_private;
  if (flags & PG_active) {
    BUG_ON((flags & PG_unevictable) !== 0, 'mm/migrate.c: folio_migrate_flags() of an active and unevictable folio');
    add |= PG_active;
    drop |= PG_active;
  } else if (flags & PG_unevictable) {
    add |= PG_unevictable;
    drop |= PG_unevictable;
  }
  p.flags[newfolio] |= add;
  p.flags[folio] &= ~drop;
  if (!folio_test_hugetlb(m, folio)) p.private[folio] = 0;
  if (p.flags[newfolio] & PG_writeback) WARN_ON(m, true, 'folio_migrate_flags');
}

export const COPY_NS_PER_PAGE = 300;
