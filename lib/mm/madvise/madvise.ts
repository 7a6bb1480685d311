// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  PAGE_ALIGN,
  pmd_addr_end,
  pmd_trans_huge,
  type ptdesc,
  pte_dirty,
  pte_index,
  pte_none,
  pte_present,
  pte_young,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import {
  clear_young_dirty_ptes,
  CYDP_CLEAR_DIRTY,
  CYDP_CLEAR_YOUNG,
  folio_pte_batch_flags,
  FPB_MERGE_YOUNG_DIRTY,
  pte_clear,
} from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM, EPERM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched, preempt_point } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_trylock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_mark_lazyfree, folio_put, lru_add_drain } from '../folio.ts';
import { faultin_page_range } from '../gup/gup.ts';
import { split_folio } from '../huge_memory/split_folio.ts';
import { madvise_free_huge_pmd } from '../huge_memory/zap.ts';
import { hstate_vma, huge_page_size } from '../hugetlb/pool.ts';
import { hugepage_madvise, khugepaged_enter_vma, madvise_collapse } from '../khugepaged/khugepaged.ts';
import {
  make_pte_marker_entry,
  PTE_MARKER_GUARD,
  softleaf_from_pte,
  softleaf_is_guard_marker,
  softleaf_is_hwpoison,
  softleaf_is_poison_marker,
  softleaf_is_swap,
  softleaf_to_pte,
} from '../leafops.ts';
import { vm_normal_folio } from '../memory/fault.ts';
import { zap_details, zap_vma_range, zap_vma_range_batched } from '../memory/zap.ts';
import {
  is_vm_hugetlb_page,
  type mm_struct,
  type vm_area_struct,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_LOCKED,
  VM_MAYBE_GUARD,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_WRITE,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_WIPEONFORK,
  vma_is_anonymous,
} from '../mm_types.ts';
import { find_vma, find_vma_prev } from '../mmap/find_vma.ts';
import {
  lock_vma_under_rcu,
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_lock_killable,
  mmap_write_unlock,
  vma_end_read,
  vma_start_write,
} from '../mmap_lock.ts';
import {
  mmu_gather,
  tlb_change_page_size,
  tlb_end_vma,
  tlb_finish_mmu,
  tlb_gather_mmu,
  tlb_remove_tlb_entries,
  tlb_start_vma,
} from '../mmu_gather.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_CLEAR,
} from '../mmu_notifier.ts';
import { folio_clear_dirty, folio_test_dirty, folio_test_swapcache } from '../page-flags.ts';
import { folio_get, folio_is_zone_device, folio_nr_pages, folio_test_large } from '../page.ts';
import {
  ACTION_CONTINUE,
  type mm_walk,
  type mm_walk_ops,
  PGWALK_RDLOCK,
  PGWALK_VMA_RDLOCK_VERIFY,
  walk_page_range_mm_unsafe,
  walk_page_range_vma,
  walk_page_range_vma_unsafe,
} from '../pagewalk.ts';
import { pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { anon_vma_prepare } from '../rmap/anon_vma.ts';
import { folio_mapcount, folio_maybe_mapped_shared } from '../rmap/rmap.ts';
import { flush_tlb_batched_pending } from '../rmap/tlb_batch.ts';
import { userfaultfd_armed, userfaultfd_remove } from '../userfaultfd/userfaultfd.ts';
import { vma_modify_flags } from '../vma/merge.ts';
import { vma_is_sealed, vma_iterator, vma_lookup } from '../vma/vma.ts';
import { madvise_pageout } from './pageout.ts';

// include/uapi/asm-generic/mman-common.h
const MADV_NORMAL = 0;
const MADV_RANDOM = 1;
const MADV_SEQUENTIAL = 2;
const MADV_WILLNEED = 3;
const MADV_DONTNEED = 4;
const MADV_FREE = 8;
const MADV_REMOVE = 9;
const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;
export const MADV_MERGEABLE = 12;
export const MADV_UNMERGEABLE = 13;
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;
const MADV_DONTDUMP = 16;
const MADV_DODUMP = 17;
const MADV_WIPEONFORK = 18;
const MADV_KEEPONFORK = 19;
const MADV_COLD = 20;
const MADV_PAGEOUT = 21;
const MADV_POPULATE_READ = 22;
const MADV_POPULATE_WRITE = 23;
const MADV_DONTNEED_LOCKED = 24;
const MADV_COLLAPSE = 25;
const MADV_GUARD_INSTALL = 102;
const MADV_GUARD_REMOVE = 103;

const MADVISE_NO_LOCK = 0;
const MADVISE_MMAP_READ_LOCK = 1;
const MADVISE_MMAP_WRITE_LOCK = 2;
const MADVISE_VMA_READ_LOCK = 3;
const MAX_MADVISE_GUARD_RETRIES = 3;
/** restarts the system call transparently (include/linux/errno.h: ERESTARTNOINTR) */
const ERESTARTNOINTR = 513;

/** State of an madvise (mm/madvise.c: struct madvise_behavior). */
class madvise_behavior {
  readonly mm: mm_struct;
  readonly behavior: number;
  readonly tlb = new mmu_gather();
  lock_mode = MADVISE_NO_LOCK;
  readonly range = { start: 0, end: 0 };
  prev: vm_area_struct | null = null;
  vma: vm_area_struct | null = null;
  readonly lock_dropped = { val: false };
  constructor(mm: mm_struct, behavior: number) {
    this.mm = mm;
    this.behavior = behavior;
  }
}

/**
 * Sets vm_flags on the range and splits or merges vmas for it (mm/madvise.c: madvise_update_vma()). Leaves out
 * anonymous vma names.
 */
function* madvise_update_vma(m: Machine, new_flags: number, madv: madvise_behavior): Gen<number> {
  const vma = madv.vma as vm_area_struct;
  if (vma.vm_flags === new_flags) return 0;
  const flags = { flags: new_flags };
  const vmi = new vma_iterator(madv.mm, madv.range.start);
  const modified = yield* vma_modify_flags(m, vmi, madv.prev, vma, madv.range.start, madv.range.end, flags);
  if (typeof modified === 'number') return modified;
  madv.vma = modified;
  yield* vma_start_write(m, modified);
  modified.vm_flags = flags.flags;
  if (flags.flags & VM_HUGEPAGE) khugepaged_enter_vma(m, modified, flags.flags);
  return 0;
}

/**
 * Makes what one pmd maps lazily freeable (mm/madvise.c: madvise_free_pte_range()). Leaves out swap entries and the
 * swap cache.
 */
function* madvise_free_pte_range(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  end: number,
  walk: mm_walk<mmu_gather>,
): Gen<number> {
  const tlb = walk.private;
  const mm = walk.mm;
  const vma = walk.vma as vm_area_struct;
  const next = pmd_addr_end(addr, end);
  if (pmd_trans_huge(pmdt.entry[pi]) && (yield* madvise_free_huge_pmd(m, tlb, vma, pmdt, pi, addr, next))) return 0;
  tlb_change_page_size(tlb, PAGE_SIZE);
  let pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
  if (pt === null) return 0;
  flush_tlb_batched_pending(m, mm);
  let nr = 1;
  for (; addr !== end; addr += nr * PAGE_SIZE) {
    nr = 1;
    const i = pte_index(addr);
    const ptent = { pte: pt.entry[i] };
    if (pte_none(ptent.pte)) continue;
    if (!pte_present(ptent.pte)) {
      const entry = softleaf_from_pte(ptent.pte);
      if (softleaf_is_swap(entry)) throw new Unmodelled('madvise_free_pte_range: swap entries');
      if (softleaf_is_hwpoison(entry) || softleaf_is_poison_marker(entry)) pte_clear(m, mm, addr, pt, i);
      continue;
    }
    const folio = vm_normal_folio(m, vma, addr, ptent.pte);
    if (folio === 0 || folio_is_zone_device(m, folio)) continue;
    if (folio_test_large(m, folio)) {
      nr = folio_pte_batch_flags(m, folio, null, pt, i, ptent, (end - addr) / PAGE_SIZE, FPB_MERGE_YOUNG_DIRTY);
      if (nr < folio_nr_pages(m, folio)) {
        if (folio_maybe_mapped_shared(m, folio)) continue;
        if (!folio_trylock(m, folio)) continue;
        folio_get(m, folio);
        pte_unmap_unlock(m, pt);
        const err = yield* split_folio(m, folio);
        folio_unlock(m, folio);
        folio_put(m, folio);
        pt = yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
        if (pt === null) break;
        flush_tlb_batched_pending(m, mm);
        if (!err) nr = 0;
        continue;
      }
    }
    if (folio_test_swapcache(m, folio)) throw new Unmodelled('madvise_free_pte_range: the swap cache');
    if (folio_test_dirty(m, folio)) {
      if (!folio_trylock(m, folio)) continue;
      if (folio_mapcount(m, folio) !== folio_nr_pages(m, folio)) {
        folio_unlock(m, folio);
        continue;
      }
      folio_clear_dirty(m, folio);
      folio_unlock(m, folio);
    }
    if (pte_young(ptent.pte) || pte_dirty(ptent.pte)) {
      clear_young_dirty_ptes(m, vma, addr, pt, i, nr, CYDP_CLEAR_YOUNG | CYDP_CLEAR_DIRTY);
      tlb_remove_tlb_entries(tlb, nr, addr);
    }
    folio_mark_lazyfree(m, folio);
  }
  if (pt !== null) pte_unmap_unlock(m, pt);
  yield* cond_resched(m);
  return 0;
}

/** mm/madvise.c: get_walk_lock() */
function get_walk_lock(m: Machine, mode: number): number {
  if (mode === MADVISE_VMA_READ_LOCK) return PGWALK_VMA_RDLOCK_VERIFY;
  WARN_ON_ONCE(m, mode !== MADVISE_MMAP_READ_LOCK, 'get_walk_lock');
  return PGWALK_RDLOCK;
}

/** mm/madvise.c: madvise_free_single_vma() */
function* madvise_free_single_vma(m: Machine, madv: madvise_behavior): Gen<number> {
  const vma = madv.vma as vm_area_struct;
  if (!vma_is_anonymous(vma)) return -EINVAL;
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, madv.mm, madv.range.start, madv.range.end);
  lru_add_drain(m);
  yield* mmu_notifier_invalidate_range_start(m, range);
  tlb_start_vma(m, madv.tlb, vma);
  const ops: mm_walk_ops<mmu_gather> = {
    pmd_entry: madvise_free_pte_range,
    walk_lock: get_walk_lock(m, madv.lock_mode),
  };
  yield* walk_page_range_vma(m, vma, range.start, range.end, ops, madv.tlb);
  tlb_end_vma(m, madv.tlb, vma);
  yield* mmu_notifier_invalidate_range_end(m, range);
  return 0;
}

/** mm/madvise.c: madvise_dontneed_single_vma() */
function* madvise_dontneed_single_vma(m: Machine, madv: madvise_behavior): Gen<number> {
  const details = new zap_details();
  details.reclaim_pt = true;
  const { start, end } = madv.range;
  yield* zap_vma_range_batched(m, madv.tlb, madv.vma as vm_area_struct, start, end - start, details);
  return 0;
}

/**
 * Returns whether the vma allows it; rounds the end of a hugetlb range down to huge pages (mm/madvise.c:
 * madvise_dontneed_free_valid_vma()).
 */
function madvise_dontneed_free_valid_vma(m: Machine, madv: madvise_behavior): boolean {
  const vma = madv.vma as vm_area_struct;
  const range = madv.range;
  if (!is_vm_hugetlb_page(vma)) {
    const forbidden = VM_PFNMAP | (madv.behavior !== MADV_DONTNEED_LOCKED ? VM_LOCKED : 0);
    return (vma.vm_flags & forbidden) === 0;
  }
  if (madv.behavior !== MADV_DONTNEED && madv.behavior !== MADV_DONTNEED_LOCKED) return false;
  const size = huge_page_size(hstate_vma(m, vma));
  if (range.start % size !== 0) return false;
  range.end = ALIGN_DOWN(range.end, size);
  return true;
}

/** MADV_DONTNEED, MADV_DONTNEED_LOCKED and MADV_FREE (mm/madvise.c: madvise_dontneed_free()). */
function* madvise_dontneed_free(m: Machine, madv: madvise_behavior): Gen<number> {
  const range = madv.range;
  if (!madvise_dontneed_free_valid_vma(m, madv)) return -EINVAL;
  if (range.start === range.end) return 0;
  if (!(yield* userfaultfd_remove(m, madv.vma as vm_area_struct, range.start, range.end))) {
    madv.lock_dropped.val = true;
    yield* mmap_read_lock(m, madv.mm);
    const vma = vma_lookup(madv.mm, range.start);
    madv.vma = vma;
    if (vma === null) return -ENOMEM;
    if (!madvise_dontneed_free_valid_vma(m, madv)) return -EINVAL;
    range.end = Math.min(range.end, vma.vm_end);
    if (range.start === range.end) return 0;
  }
  return madv.behavior === MADV_FREE
    ? yield* madvise_free_single_vma(m, madv)
    : yield* madvise_dontneed_single_vma(m, madv);
}

/** MADV_POPULATE_READ and MADV_POPULATE_WRITE (mm/madvise.c: madvise_populate()). */
function* madvise_populate(m: Machine, madv: madvise_behavior): Gen<number> {
  const locked = { locked: true };
  let start = madv.range.start;
  while (start < madv.range.end) {
    const pages = yield* faultin_page_range(
      m,
      madv.mm,
      start,
      madv.range.end,
      madv.behavior === MADV_POPULATE_WRITE,
      locked,
    );
    if (!locked.locked) {
      yield* mmap_read_lock(m, madv.mm);
      locked.locked = true;
    }
    if (pages < 0) return [-EINTR, -EINVAL, -EHWPOISON, -EFAULT].includes(pages) ? pages : -ENOMEM;
    start += pages * PAGE_SIZE;
  }
  return 0;
}

/** mm/madvise.c: is_valid_guard_vma() */
function is_valid_guard_vma(vma: vm_area_struct, allow_locked: boolean): boolean {
  return (vma.vm_flags & (VM_SPECIAL | VM_HUGETLB | (allow_locked ? 0 : VM_LOCKED))) === 0;
}

/** Number of guard markers in the range. NON-KERNEL (upstream: the walk's unsigned long *nr_pages). */
interface guard_walk {
  nr_pages: number;
}

/** mm/madvise.c: guard_install_pmd_entry() */
function* guard_install_pmd_entry(_m: Machine, pmdt: ptdesc, pi: number): Gen<number> {
  return pmd_trans_huge(pmdt.entry[pi]) ? 1 : 0;
}

/** mm/madvise.c: guard_install_pte_entry() */
function* guard_install_pte_entry(
  _m: Machine,
  pt: ptdesc,
  i: number,
  _addr: number,
  _next: number,
  walk: mm_walk<guard_walk>,
): Gen<number> {
  if (!softleaf_is_guard_marker(softleaf_from_pte(pt.entry[i]))) return 1;
  walk.private.nr_pages++;
  return 0;
}

/** mm/madvise.c: guard_install_set_pte() */
function guard_install_set_pte(
  _m: Machine,
  _addr: number,
  _next: number,
  ptep: { pte: number },
  walk: mm_walk<guard_walk>,
): number {
  ptep.pte = softleaf_to_pte(make_pte_marker_entry(PTE_MARKER_GUARD));
  walk.private.nr_pages++;
  return 0;
}

/**
 * MADV_GUARD_INSTALL: installs markers in empty ptes, after a zap if something is mapped (mm/madvise.c:
 * madvise_guard_install()).
 */
function* madvise_guard_install(m: Machine, madv: madvise_behavior): Gen<number> {
  const vma = madv.vma as vm_area_struct;
  const { start, end } = madv.range;
  if (!is_valid_guard_vma(vma, false)) return -EINVAL;
  vma.vm_flags |= VM_MAYBE_GUARD;
  if (vma_is_anonymous(vma)) {
    WARN_ON_ONCE(m, vma.anon_vma === null && madv.lock_mode !== MADVISE_MMAP_READ_LOCK, 'madvise_guard_install');
    const err = yield* anon_vma_prepare(m, vma);
    if (err) return err;
  }
  const ops: mm_walk_ops<guard_walk> = {
    pmd_entry: guard_install_pmd_entry,
    pte_entry: guard_install_pte_entry,
    install_pte: guard_install_set_pte,
    walk_lock: get_walk_lock(m, madv.lock_mode),
  };
  for (let i = 0; i < MAX_MADVISE_GUARD_RETRIES; i++) {
    const priv: guard_walk = { nr_pages: 0 };
    const err =
      madv.lock_mode === MADVISE_VMA_READ_LOCK
        ? yield* walk_page_range_vma_unsafe(m, vma, start, end, ops, priv)
        : yield* walk_page_range_mm_unsafe(m, vma.vm_mm, start, end, ops, priv);
    if (err < 0) return err;
    if (err === 0) {
      WARN_ON(m, priv.nr_pages !== (end - start) / PAGE_SIZE, 'madvise_guard_install');
      return 0;
    }
    yield* zap_vma_range(m, vma, start, end - start);
  }
  return -ERESTARTNOINTR;
}

/** mm/madvise.c: guard_remove_pmd_entry() */
function* guard_remove_pmd_entry(
  _m: Machine,
  pmdt: ptdesc,
  pi: number,
  _addr: number,
  _next: number,
  walk: mm_walk<null>,
): Gen<number> {
  if (pmd_trans_huge(pmdt.entry[pi])) walk.action = ACTION_CONTINUE;
  return 0;
}

/** mm/madvise.c: guard_remove_pte_entry() */
function* guard_remove_pte_entry(
  m: Machine,
  pt: ptdesc,
  i: number,
  addr: number,
  _next: number,
  walk: mm_walk<null>,
): Gen<number> {
  if (softleaf_is_guard_marker(softleaf_from_pte(pt.entry[i]))) pte_clear(m, walk.mm, addr, pt, i);
  return 0;
}

/** MADV_GUARD_REMOVE (mm/madvise.c: madvise_guard_remove()). */
function* madvise_guard_remove(m: Machine, madv: madvise_behavior): Gen<number> {
  const vma = madv.vma as vm_area_struct;
  if (!is_valid_guard_vma(vma, true)) return -EINVAL;
  const ops: mm_walk_ops<null> = {
    pmd_entry: guard_remove_pmd_entry,
    pte_entry: guard_remove_pte_entry,
    walk_lock: get_walk_lock(m, madv.lock_mode),
  };
  return yield* walk_page_range_vma(m, vma, madv.range.start, madv.range.end, ops, null);
}

/**
 * Returns the vm_flags after an advice that only changes flags, or -errno in `error` (mm/madvise.c:
 * madvise_vma_behavior()).
 */
function advised_flags(m: Machine, madv: madvise_behavior): { flags: number; error: number } {
  const vma = madv.vma as vm_area_struct;
  const old = vma.vm_flags;
  const set = (flags: number): { flags: number; error: number } => ({ flags, error: 0 });
  const fail = { flags: old, error: -EINVAL };
  switch (madv.behavior) {
    case MADV_NORMAL:
      return set(old & ~VM_RAND_READ & ~VM_SEQ_READ);
    case MADV_SEQUENTIAL:
      return set((old & ~VM_RAND_READ) | VM_SEQ_READ);
    case MADV_RANDOM:
      return set((old & ~VM_SEQ_READ) | VM_RAND_READ);
    case MADV_DONTFORK:
      return set(old | VM_DONTCOPY);
    case MADV_DOFORK:
      return old & VM_SPECIAL ? fail : set(old & ~VM_DONTCOPY);
    case MADV_WIPEONFORK:
      return vma.vm_file !== null || old & VM_SHARED ? fail : set(old | VM_WIPEONFORK);
    case MADV_KEEPONFORK:
      return set(old & ~VM_WIPEONFORK);
    case MADV_DONTDUMP:
      return set(old | VM_DONTDUMP);
    case MADV_DODUMP:
      return !is_vm_hugetlb_page(vma) && old & VM_SPECIAL ? fail : set(old & ~VM_DONTDUMP);
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE: {
      const flags = { val: old };
      const error = hugepage_madvise(m, vma, flags, madv.behavior);
      return { flags: flags.val, error };
    }
    default:
      throw new Unmodelled(`madvise_vma_behavior: advice ${madv.behavior}`);
  }
}

/** True for an advice that drops what the range holds (mm/madvise.c: is_discard()). Leaves out MADV_REMOVE. */
function is_discard(behavior: number): boolean {
  switch (behavior) {
    case MADV_FREE:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_DONTFORK:
    case MADV_WIPEONFORK:
    case MADV_GUARD_INSTALL:
      return true;
    default:
      return false;
  }
}

/**
 * False for a discard of sealed anonymous memory that the user cannot write to anyway (mm/madvise.c:
 * can_madvise_modify()). Leaves out protection keys.
 */
function can_madvise_modify(madv: madvise_behavior): boolean {
  const vma = madv.vma as vm_area_struct;
  if (!vma_is_sealed(vma) || !is_discard(madv.behavior) || !vma_is_anonymous(vma)) return true;
  return (vma.vm_flags & VM_WRITE) !== 0;
}

/** Leaves out WILLNEED, COLD, REMOVE and KSM's advices (mm/madvise.c: madvise_vma_behavior()). */
function* madvise_vma_behavior(m: Machine, madv: madvise_behavior): Gen<number> {
  if (!can_madvise_modify(madv)) return -EPERM;
  switch (madv.behavior) {
    case MADV_FREE:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
      return yield* madvise_dontneed_free(m, madv);
    case MADV_PAGEOUT:
      return yield* madvise_pageout(m, madv.vma as vm_area_struct, madv.range.start, madv.range.end);
    case MADV_COLLAPSE:
      return yield* madvise_collapse(
        m,
        madv.vma as vm_area_struct,
        madv.range.start,
        madv.range.end,
        madv.lock_dropped,
      );
    case MADV_GUARD_INSTALL:
      return yield* madvise_guard_install(m, madv);
    case MADV_GUARD_REMOVE:
      return yield* madvise_guard_remove(m, madv);
    default:
      break;
  }
  const { flags, error } = advised_flags(m, madv);
  const err = error || (yield* madvise_update_vma(m, flags, madv));
  return err === -ENOMEM ? -EAGAIN : err;
}

/** Leaves out MADV_HWPOISON and MADV_SOFT_OFFLINE: no CONFIG_MEMORY_FAILURE (mm/madvise.c: madvise_behavior_valid()). */
function madvise_behavior_valid(behavior: number): boolean {
  return (
    (behavior >= MADV_NORMAL && behavior <= MADV_DONTNEED) ||
    (behavior >= MADV_FREE && behavior <= MADV_COLLAPSE) ||
    behavior === MADV_GUARD_INSTALL ||
    behavior === MADV_GUARD_REMOVE
  );
}

/** Takes the vma lock if that suffices, else the mmap_lock for reading (mm/madvise.c: try_vma_read_lock()). */
function* try_vma_read_lock(m: Machine, madv: madvise_behavior): Gen<boolean> {
  const vma = yield* lock_vma_under_rcu(m, madv.mm, madv.range.start);
  if (vma !== null) {
    const anon_missing = vma_is_anonymous(vma) && madv.behavior === MADV_GUARD_INSTALL && vma.anon_vma === null;
    if (madv.range.end <= vma.vm_end && m.current.mm === vma.vm_mm && !userfaultfd_armed(vma) && !anon_missing) {
      madv.vma = vma;
      return true;
    }
    vma_end_read(m, vma);
  }
  yield* mmap_read_lock(m, madv.mm);
  madv.lock_mode = MADVISE_MMAP_READ_LOCK;
  return false;
}

/**
 * Applies the advice vma by vma; skips holes and returns -ENOMEM for them at the end (mm/madvise.c:
 * madvise_walk_vmas()).
 */
function* madvise_walk_vmas(m: Machine, madv: madvise_behavior): Gen<number> {
  const { mm, range } = madv;
  const last_end = range.end;
  let unmapped_error = 0;
  if (madv.lock_mode === MADVISE_VMA_READ_LOCK && (yield* try_vma_read_lock(m, madv))) {
    const error = yield* madvise_vma_behavior(m, madv);
    vma_end_read(m, madv.vma as vm_area_struct);
    return error;
  }
  const at = find_vma_prev(mm, range.start);
  let vma = at.vma;
  let prev = at.prev;
  if (vma !== null && range.start > vma.vm_start) prev = vma;
  for (;;) {
    if (vma === null) return -ENOMEM;
    if (range.start < vma.vm_start) {
      unmapped_error = -ENOMEM;
      range.start = vma.vm_start;
      if (range.start >= last_end) break;
    }
    range.end = Math.min(vma.vm_end, last_end);
    madv.prev = prev;
    madv.vma = vma;
    const error = yield* madvise_vma_behavior(m, madv);
    if (error) return error;
    if (madv.lock_dropped.val) {
      prev = null;
      vma = null;
      madv.lock_dropped.val = false;
    } else {
      vma = madv.vma;
      prev = vma;
    }
    if (vma !== null && range.end < vma.vm_end) range.end = vma.vm_end;
    if (range.end >= last_end) break;
    vma = find_vma(mm, vma !== null ? vma.vm_end : range.end);
    range.start = range.end;
  }
  return unmapped_error;
}

/** mm/madvise.c: get_lock_mode() */
function get_lock_mode(behavior: number): number {
  switch (behavior) {
    case MADV_REMOVE:
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_COLLAPSE:
      return MADVISE_MMAP_READ_LOCK;
    case MADV_GUARD_INSTALL:
    case MADV_GUARD_REMOVE:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
      return MADVISE_VMA_READ_LOCK;
    default:
      return MADVISE_MMAP_WRITE_LOCK;
  }
}

/** mm/madvise.c: madvise_batch_tlb_flush() */
function madvise_batch_tlb_flush(behavior: number): boolean {
  return behavior === MADV_DONTNEED || behavior === MADV_DONTNEED_LOCKED || behavior === MADV_FREE;
}

/**
 * Applies an advice to [start, start+len_in) of the mm (mm/madvise.c: do_madvise()). Leaves out WILLNEED, COLD,
 * REMOVE and KSM's advices, which throw Unmodelled.
 */
function* do_madvise(m: Machine, mm: mm_struct, start: number, len_in: number, behavior: number): Gen<number> {
  const madv = new madvise_behavior(mm, behavior);
  if (!madvise_behavior_valid(behavior)) return -EINVAL;
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  const len = PAGE_ALIGN(len_in);
  if (len >= 2 ** 64 || start + len >= 2 ** 64) return -EINVAL;
  if (len_in === 0) return 0;

  madv.lock_mode = get_lock_mode(behavior);
  if (madv.lock_mode === MADVISE_MMAP_WRITE_LOCK) {
    if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  } else if (madv.lock_mode === MADVISE_MMAP_READ_LOCK) {
    yield* mmap_read_lock(m, mm);
  }
  const batch = madvise_batch_tlb_flush(behavior);
  if (batch) tlb_gather_mmu(m, madv.tlb, mm);
  madv.range.start = start;
  madv.range.end = start + len;
  const populate = behavior === MADV_POPULATE_READ || behavior === MADV_POPULATE_WRITE;
  const error = populate ? yield* madvise_populate(m, madv) : yield* madvise_walk_vmas(m, madv);
  if (batch) {
    if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
    tlb_finish_mmu(m, madv.tlb);
  }
  if (madv.lock_mode === (MADVISE_MMAP_WRITE_LOCK as number)) mmap_write_unlock(m, mm);
  else if (madv.lock_mode === (MADVISE_MMAP_READ_LOCK as number)) mmap_read_unlock(m, mm);
  return error;
}

/** The madvise system call, which restarts after too many lost races (mm/madvise.c: madvise()). */
export function* sys_madvise(m: Machine, start: number, len_in: number, behavior: number): Gen<number> {
  for (;;) {
    const error = yield* do_madvise(m, m.current.mm as mm_struct, start, len_in, behavior);
    if (error !== -ERESTARTNOINTR) return error;
    if (m.sched.explore) yield* preempt_point(m, 'restart_syscall');
  }
}
