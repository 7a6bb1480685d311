// SPDX-License-Identifier: GPL-2.0-only

import { leaf_pte_dirty } from '../../arch/x86/mm/leaf_as_pte.ts';
import { pmd_lock, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  HPAGE_PMD_NR,
  pmd_none,
  pmd_pfn,
  pmd_present,
  PMD_SIZE,
  pmd_trans_huge,
  pmd_write,
  type ptdesc,
  pte_dirty,
  pte_index,
  pte_none,
  pte_pfn,
  pte_present,
  pte_write,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import { flush_tlb_range, ptep_get_and_clear } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, ENOENT } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { folio_lock, folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import { set_pmd_migration_entry } from '../huge_memory/migration.ts';
import { split_folio } from '../huge_memory/split_folio.ts';
import { is_huge_zero_folio } from '../huge_memory/sysfs.ts';
import {
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_is_device_private,
  softleaf_is_device_private_write,
  softleaf_to_folio,
  softleaf_to_page,
} from '../leafops.ts';
import { vm_normal_page } from '../memory/fault.ts';
import { folio_is_device_coherent, page_pgmap } from '../memremap.ts';
import { type vm_area_struct, vma_is_anonymous } from '../mm_types.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init_owner,
} from '../mmu_notifier.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  folio_get,
  folio_is_zone_device,
  folio_test_anon,
  folio_test_large,
  page_folio,
  page_to_pfn,
  pfn_folio,
} from '../page.ts';
import type { page_vma_mapped_walk } from '../page_vma_mapped.ts';
import { type mm_walk, type mm_walk_ops, PGWALK_RDLOCK, walk_page_range_vma } from '../pagewalk.ts';
import { pte_offset_map_lock, ptep_clear_flush } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_remove_rmap_pte, folio_try_share_anon_rmap_pte } from '../rmap/rmap.ts';
import { migration_pte } from '../rmap/walk.ts';
import {
  fault_folio_of,
  MIGRATE_PFN_COMPOUND,
  migrate_pfn_from_page,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_WRITE,
  type migrate_vma,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_SYSTEM,
} from './migrate_vma.ts';
import { selects_huge_page, selects_private_page, selects_zero_page } from './select.ts';

type Walk = mm_walk<migrate_vma>;

/** Skips a range: its entries stay 0 (mm/migrate_device.c: migrate_vma_collect_skip()). */
function migrate_vma_collect_skip(start: number, end: number, walk: Walk): number {
  const migrate = walk.private;
  const nr = (end - start) / PAGE_SIZE;
  const at = migrate.npages;
  (migrate.dst as Float64Array).fill(0, at, at + nr);
  (migrate.src as Float64Array).fill(0, at, at + nr);
  migrate.npages = at + nr;
  return 0;
}

/** Returns true if the range can be migrated as one PMD-sized folio. NON-KERNEL: a condition that upstream repeats. */
function whole_pmd(migrate: migrate_vma, start: number, end: number): boolean {
  return (migrate.flags & MIGRATE_VMA_SELECT_COMPOUND) !== 0 && start % PMD_SIZE === 0 && end % PMD_SIZE === 0;
}

/**
 * Collects an empty range of anonymous memory, or skips it. NON-KERNEL: the body of upstream's
 * migrate_vma_collect_hole() as a plain function, so that callers need no generator.
 */
function collect_hole(start: number, end: number, walk: Walk): number {
  const migrate = walk.private;
  if (!vma_is_anonymous(walk.vma as vm_area_struct)) return migrate_vma_collect_skip(start, end, walk);
  const dst = migrate.dst as Float64Array;
  const src = migrate.src as Float64Array;
  const at = migrate.npages;
  if (whole_pmd(migrate, start, end)) {
    src[at] = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND;
    dst[at] = 0;
    migrate.npages++;
    migrate.cpages++;
    // The remaining entries stay 0, in case the destination is filled page by page.
    return migrate_vma_collect_skip(start + PAGE_SIZE, end, walk);
  }
  const nr = (end - start) / PAGE_SIZE;
  src.fill(MIGRATE_PFN_MIGRATE, at, at + nr);
  dst.fill(0, at, at + nr);
  migrate.npages += nr;
  migrate.cpages += nr;
  return 0;
}

/** Collects an empty range (mm/migrate_device.c: migrate_vma_collect_hole()). */
function* migrate_vma_collect_hole(_m: Machine, start: number, end: number, _depth: number, walk: Walk): Gen<number> {
  return collect_hole(start, end, walk);
}

/**
 * Splits a large folio. Drops the caller's reference, unless the folio is that of the faulting page
 * (mm/migrate_device.c: migrate_vma_split_folio()).
 */
function* migrate_vma_split_folio(m: Machine, folio: number, fault_page: number): Gen<number> {
  const fault_folio = fault_page !== 0 ? page_folio(m, fault_page) : 0;
  if (folio !== fault_folio) yield* folio_lock(m, folio);
  const ret = yield* split_folio(m, folio);
  if (ret !== 0) {
    if (folio !== fault_folio) {
      folio_unlock(m, folio);
      folio_put(m, folio);
    }
    return ret;
  }
  // After the split the lock has to be held on the folio that contains the faulting page.
  const new_fault_folio = fault_page !== 0 ? page_folio(m, fault_page) : 0;
  if (new_fault_folio === 0) {
    folio_unlock(m, folio);
    folio_put(m, folio);
  } else if (folio !== new_fault_folio) {
    if (new_fault_folio !== fault_folio) {
      folio_get(m, new_fault_folio);
      yield* folio_lock(m, new_fault_folio);
    }
    folio_unlock(m, folio);
    folio_put(m, folio);
  }
  return 0;
}

/**
 * Collects a huge pmd. Returns 0 if done, -ENOENT if the caller has to look at ptes, or -EAGAIN (mm/migrate_device.c:
 * migrate_vma_collect_huge_pmd()).
 */
function* migrate_vma_collect_huge_pmd(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  start: number,
  end: number,
  walk: Walk,
  fault_folio: number,
): Gen<number> {
  const migrate = walk.private;
  const vma = walk.vma as vm_area_struct;
  let write = 0;
  let folio: number;
  const ptl = yield* pmd_lock(m, walk.mm, pmdt);
  const pmd = pmdt.entry[pi];
  if (pmd_none(pmd)) {
    spin_unlock(m, ptl);
    return collect_hole(start, end, walk);
  }
  if (pmd_trans_huge(pmd)) {
    folio = pfn_folio(m, pmd_pfn(pmd));
    if (!selects_huge_page(m, migrate, folio)) {
      spin_unlock(m, ptl);
      return migrate_vma_collect_skip(start, end, walk);
    }
    if (is_huge_zero_folio(m, folio)) {
      spin_unlock(m, ptl);
      return collect_hole(start, end, walk);
    }
    if (pmd_write(pmd)) write = MIGRATE_PFN_WRITE;
  } else if (!pmd_present(pmd)) {
    const entry = softleaf_from_pmd(pmd);
    if (!softleaf_is_device_private(entry) || !selects_private_page(m, migrate, softleaf_to_page(m, entry))) {
      spin_unlock(m, ptl);
      return migrate_vma_collect_skip(start, end, walk);
    }
    folio = softleaf_to_folio(m, entry);
    if (softleaf_is_device_private_write(entry)) write = MIGRATE_PFN_WRITE;
  } else {
    spin_unlock(m, ptl);
    return -EAGAIN;
  }

  folio_get(m, folio);
  if (folio !== fault_folio && !folio_trylock(m, folio)) {
    spin_unlock(m, ptl);
    folio_put(m, folio);
    return migrate_vma_collect_skip(start, end, walk);
  }

  if (whole_pmd(migrate, start, end)) {
    const pvmw: page_vma_mapped_walk = {
      pfn: 0,
      nr_pages: 0,
      pgoff: 0,
      vma,
      address: start,
      pmdt,
      pi,
      pte: null,
      ptei: 0,
      ptl,
      flags: 0,
      pgoff_is_anon: false,
    };
    const src = migrate.src as Float64Array;
    const dst = migrate.dst as Float64Array;
    const at = migrate.npages++;
    src[at] = migrate_pfn_from_page(m, folio) + write + MIGRATE_PFN_MIGRATE + MIGRATE_PFN_COMPOUND;
    dst[at] = 0;
    migrate.cpages++;
    if (set_pmd_migration_entry(m, pvmw, folio) === 0) {
      migrate_vma_collect_skip(start + PAGE_SIZE, end, walk);
      spin_unlock(m, ptl);
      return 0;
    }
    migrate.npages--;
    migrate.cpages--;
    src[at] = 0;
    dst[at] = 0;
  }

  spin_unlock(m, ptl);
  // Like upstream, leaks the lock and the reference of a folio that is not large.
  if (!folio_test_large(m, folio)) return -ENOENT;
  const ret = yield* split_folio(m, folio);
  if (fault_folio !== folio) folio_unlock(m, folio);
  folio_put(m, folio);
  if (ret !== 0) return migrate_vma_collect_skip(start, end, walk);
  if (pmd_none(pmdt.entry[pi])) return collect_hole(start, end, walk);
  return -ENOENT;
}

/**
 * Takes the reference with which a large folio is split and gives the page-table lock back. NON-KERNEL: lines of
 * upstream's migrate_vma_collect_pmd().
 */
function* pin_and_unlock(m: Machine, folio: number, fault_folio: number, pt: ptdesc): Gen<void> {
  if (m.patch.split_before_pin) {
    pte_unmap_unlock(m, pt);
    if (m.sched.explore) yield* preempt_point(m, 'migrate_vma_split_folio');
    if (folio !== fault_folio) folio_get(m, folio);
    return;
  }
  if (folio !== fault_folio) folio_get(m, folio);
  pte_unmap_unlock(m, pt);
}

/**
 * Flushes what was unmapped and gives the page-table lock back. NON-KERNEL: lines of upstream's
 * migrate_vma_collect_pmd().
 */
function* flush_and_unlock(m: Machine, vma: vm_area_struct, start: number, end: number, pt: ptdesc): Gen<void> {
  if (m.patch.collect_flushes_late) {
    pte_unmap_unlock(m, pt);
    if (m.sched.explore) yield* preempt_point(m, 'flush_tlb_range');
    flush_tlb_range(m, vma, start, end);
    return;
  }
  flush_tlb_range(m, vma, start, end);
  pte_unmap_unlock(m, pt);
}

/** Returns true for a device-private pte that is taken for a dirty one. NON-KERNEL. */
function leaf_says_dirty(m: Machine, pte: number): boolean {
  return m.patch.collect_dirties_leaves && leaf_pte_dirty(pte);
}

/** Collects one pte table or huge pmd (mm/migrate_device.c: migrate_vma_collect_pmd()). */
function* migrate_vma_collect_pmd(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  start: number,
  end: number,
  walk: Walk,
): Gen<number> {
  const migrate = walk.private;
  const vma = walk.vma as vm_area_struct;
  const mm = vma.vm_mm;
  const flags = migrate.flags;
  const src = migrate.src as Float64Array;
  const dst = migrate.dst as Float64Array;
  const fault_folio = fault_folio_of(m, migrate.fault_page);
  const zero_pfn = page_to_pfn(m, m.zero_page);
  const anonymous = vma_is_anonymous(vma);
  let addr = start;
  let unmapped = 0;

  again: for (;;) {
    if (m.sched.explore) yield* preempt_point(m, 'migrate_vma_collect_pmd');
    const pmd = pmdt.entry[pi];
    if (pmd_trans_huge(pmd) || !pmd_present(pmd)) {
      const ret = yield* migrate_vma_collect_huge_pmd(m, pmdt, pi, start, end, walk, fault_folio);
      if (ret === -EAGAIN) continue;
      if (ret === 0) return 0;
    }
    const pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, start);
    if (pt === null) continue;

    for (let i = pte_index(addr); addr < end; addr += PAGE_SIZE, i++) {
      let pte = pt.entry[i];
      let mpfn = 0;
      collect: {
        if (pte_none(pte)) {
          if (anonymous) {
            mpfn = MIGRATE_PFN_MIGRATE;
            migrate.cpages++;
          }
          break collect;
        }
        let page: number;
        let write: boolean;
        if (!pte_present(pte)) {
          const entry = softleaf_from_pte(pte);
          if (!softleaf_is_device_private(entry)) break collect;
          page = softleaf_to_page(m, entry);
          if (!selects_private_page(m, migrate, page)) break collect;
          write = softleaf_is_device_private_write(entry);
        } else {
          if (pte_pfn(pte) === zero_pfn && selects_zero_page(m, migrate)) {
            mpfn = MIGRATE_PFN_MIGRATE;
            migrate.cpages++;
            break collect;
          }
          page = vm_normal_page(m, vma, addr, pte);
          if (page !== 0) {
            if (!folio_is_zone_device(m, page)) {
              if (!(flags & MIGRATE_VMA_SELECT_SYSTEM)) break collect;
            } else if (
              folio_is_device_coherent(m, page_folio(m, page)) &&
              (!(flags & MIGRATE_VMA_SELECT_DEVICE_COHERENT) || page_pgmap(m, page).owner !== migrate.pgmap_owner)
            ) {
              break collect;
            }
          }
          write = pte_write(pte);
        }

        const folio = page !== 0 ? page_folio(m, page) : 0;
        if (folio !== 0 && folio_test_large(m, folio)) {
          yield* pin_and_unlock(m, folio, fault_folio, pt);
          const ret = yield* migrate_vma_split_folio(m, folio, fault_folio === 0 ? 0 : migrate.fault_page);
          if (ret !== 0) {
            if (unmapped > 0) flush_tlb_range(m, vma, start, end);
            return migrate_vma_collect_skip(addr, end, walk);
          }
          continue again;
        }
        if (page === 0 || m.page.mapping[page] === 0) break collect;

        folio_get(m, folio);
        if (fault_folio !== folio && !folio_trylock(m, folio)) {
          folio_put(m, folio);
          break collect;
        }
        const anon_exclusive = folio_test_anon(m, folio) && PageAnonExclusive(m, page);
        if (anon_exclusive) {
          pte = ptep_clear_flush(m, vma, addr, pt, i);
          if (folio_try_share_anon_rmap_pte(m, folio, page) !== 0) {
            set_pte_at(m, mm, addr, pt, i, pte);
            if (fault_folio !== folio) folio_unlock(m, folio);
            folio_put(m, folio);
            break collect;
          }
        } else {
          pte = ptep_get_and_clear(m, mm, addr, pt, i);
        }
        mpfn = migrate_pfn_from_page(m, page) + MIGRATE_PFN_MIGRATE + (write ? MIGRATE_PFN_WRITE : 0);
        migrate.cpages++;
        const present = pte_present(pte);
        const dirty = present ? pte_dirty(pte) : leaf_says_dirty(m, pte);
        if (dirty && !m.patch.collect_drops_dirty) folio_mark_dirty(m, folio);
        set_pte_at(m, mm, addr, pt, i, migration_pte(m, page, pte, write, anon_exclusive));
        folio_remove_rmap_pte(m, folio, page, vma);
        folio_put(m, folio);
        if (present) unmapped++;
      }
      dst[migrate.npages] = 0;
      src[migrate.npages++] = mpfn;
    }

    if (unmapped > 0) yield* flush_and_unlock(m, vma, start, end, pt);
    else pte_unmap_unlock(m, pt);
    return 0;
  }
}

const migrate_vma_walk_ops: mm_walk_ops<migrate_vma> = {
  pmd_entry: migrate_vma_collect_pmd,
  pte_hole: migrate_vma_collect_hole,
  walk_lock: PGWALK_RDLOCK,
};

/**
 * Fills migrate.src for the range: each folio is locked and referenced, and migration entries replace its mappings
 * (mm/migrate_device.c: migrate_vma_collect()).
 */
export function* migrate_vma_collect(m: Machine, migrate: migrate_vma): Gen<void> {
  const vma = migrate.vma as vm_area_struct;
  const range = new mmu_notifier_range();
  const event = m.seam.migrate_selection.begin(migrate);
  mmu_notifier_range_init_owner(range, event, 0, vma.vm_mm, migrate.start, migrate.end, migrate.pgmap_owner);
  yield* mmu_notifier_invalidate_range_start(m, range);
  yield* walk_page_range_vma(m, vma, migrate.start, migrate.end, migrate_vma_walk_ops, migrate);
  yield* mmu_notifier_invalidate_range_end(m, range);
  migrate.end = migrate.start + migrate.npages * PAGE_SIZE;
}

/**
 * Returns the number of pages that an entry of the src or dst array covers (mm/migrate_device.c:
 * migrate_vma_nr_pages()).
 */
export function migrate_vma_nr_pages(mpfn: number): number {
  return mpfn & MIGRATE_PFN_COMPOUND ? HPAGE_PMD_NR : 1;
}
