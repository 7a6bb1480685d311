// SPDX-License-Identifier: GPL-2.0-only

import { check_stable_address_space } from './oom_kill.ts';
import {
  HPAGE_PMD_ORDER,
  pmd_is_table,
  pmd_leaf,
  pmd_none,
  pmd_pfn,
  pmd_present,
  pmd_protnone,
  PMD_SIZE,
  pmd_trans_huge,
  pmd_write,
  pmdp_get,
  type ptdesc,
  pte_none,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_write,
  ptep_get,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../machine.ts';
import { EAGAIN, EBUSY, EFAULT, EINTR, EINVAL, ENOLCK, EPERM } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import { WARN_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import { fatal_signal_pending, preempt_point } from '../kernel/sched/core.ts';
import { Unmodelled } from '../unmodelled.ts';
import { vm_fault_to_errno } from './gup/pin.ts';
import { hstate_vma, huge_page_order } from './hugetlb/pool.ts';
import { huge_pte_lock, huge_ptep_get } from './hugetlb/vma.ts';
import {
  pmd_is_migration_entry,
  pte_is_uffd_wp_marker,
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_is_device_exclusive,
  softleaf_is_device_private,
  softleaf_is_device_private_write,
  softleaf_is_migration,
  softleaf_is_swap,
  softleaf_to_folio,
  softleaf_to_page,
  softleaf_to_pfn,
} from './leafops.ts';
import { handle_mm_fault, is_zero_pfn, vm_normal_page } from './memory/fault.ts';
import { page_pgmap } from './memremap.ts';
import { migration_entry_wait, pmd_migration_entry_wait } from './migrate/entry.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_WRITE,
  type mm_struct,
  NULL_VMA,
  type vm_area_struct,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  VM_IO,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_READ,
  VM_WRITE,
} from './mm_types.ts';
import { mmap_assert_locked, mmap_read_lock_killable, mmap_read_unlock } from './mmap_lock.ts';
import { mmu_interval_check_retry, type mmu_interval_notifier, mmu_interval_read_begin } from './mmu_notifier.ts';
import { pfn_to_page } from './page.ts';
import { type mm_walk, type mm_walk_ops, PGWALK_RDLOCK, walk_page_range } from './pagewalk.ts';
import { pte_offset_map } from './pgtable-generic.ts';
import { PAGE_SIZE } from './physmem.ts';
import { vma_lookup } from './vma/vma.ts';

// An hmm_pfns entry is one exact double: the pfn in bits 0 to 31, the HMM_PFN_* flags from bit 32 on. hmm_pfn_flags()
// returns them as a small integer, on which bit operators work. hmm_pfn_to_u64() gives upstream's layout, which has the
// flags in the top bits of a 64-bit word.

export const HMM_PFN_VALID = 1 << 0;
export const HMM_PFN_WRITE = 1 << 1;
export const HMM_PFN_ERROR = 1 << 2;
const HMM_PFN_DMA_MAPPED = 1 << 3;
const HMM_PFN_P2PDMA = 1 << 4;
const HMM_PFN_P2PDMA_BUS = 1 << 5;
/** five bits: the order of the CPU's mapping of the page; m.device_private.hmm_flag is above them or the top one */
export const HMM_PFN_ORDER_SHIFT = 6;
export const HMM_PFN_REQ_FAULT = HMM_PFN_VALID;
export const HMM_PFN_REQ_WRITE = HMM_PFN_WRITE;

const HMM_PFN_INOUT_FLAGS = HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS;
const FLAGS_UNIT = 2 ** 32;

/** milliseconds for which a caller retries before it gives up (include/linux/hmm.h: HMM_RANGE_DEFAULT_TIMEOUT) */
export const HMM_RANGE_DEFAULT_TIMEOUT = 1000;

/** Makes an hmm_pfns entry of a pfn and HMM_PFN_* flags. NON-KERNEL. */
export function hmm_pfn(pfn: number, flags: number): number {
  return flags * FLAGS_UNIT + pfn;
}

/** Returns the HMM_PFN_* flags of an entry. NON-KERNEL. */
export function hmm_pfn_flags(entry: number): number {
  return Math.floor(entry / FLAGS_UNIT);
}

/** Returns the struct page of an entry with HMM_PFN_VALID (include/linux/hmm.h: hmm_pfn_to_page()). */
export function hmm_pfn_to_page(m: Machine, entry: number): number {
  const space = m.device_private;
  return hmm_pfn_flags(entry) & space.hmm_flag ? space.offset_to_page(entry >>> 0) : pfn_to_page(m, entry >>> 0);
}

/**
 * Returns the order of the CPU's mapping of a valid entry's page: 0 for a pte, 9 for a pmd (include/linux/hmm.h:
 * hmm_pfn_to_map_order()).
 */
export function hmm_pfn_to_map_order(entry: number): number {
  return (hmm_pfn_flags(entry) >> HMM_PFN_ORDER_SHIFT) & 0x1f;
}

/**
 * Returns the entry in upstream's 64-bit layout: VALID is bit 63, the order is in bits 53 to 57 (include/linux/hmm.h:
 * enum hmm_pfn_flags). With device-private-offsets (`layout` is m.device_private) the order moves down by one bit and
 * bit 57 marks the number as an offset.
 */
export function hmm_pfn_to_u64(entry: number, layout = { hmm_flag: 0, hmm_order_shift: 53 }): bigint {
  const flags = hmm_pfn_flags(entry);
  let word = BigInt(entry >>> 0) | (BigInt(hmm_pfn_to_map_order(entry)) << BigInt(layout.hmm_order_shift));
  for (let i = 0; i < HMM_PFN_ORDER_SHIFT; i++) if (flags & (1 << i)) word |= 1n << BigInt(63 - i);
  if (flags & layout.hmm_flag) word |= 1n << 57n;
  return word;
}

/** Arguments and results of hmm_range_fault() (include/linux/hmm.h: struct hmm_range). */
export class hmm_range {
  /** covers [start, end) */
  notifier!: mmu_interval_notifier;
  /** as returned by mmu_interval_read_begin() */
  notifier_seq = 0;
  start = 0;
  end = 0;
  /** one entry per page, in and out */
  hmm_pfns!: Float64Array;
  /** HMM_PFN_REQ_* requested of every page */
  default_flags = 0;
  /** which HMM_PFN_REQ_* of the individual entries are honoured */
  pfn_flags_mask = 0;
  /** owner whose device-private pages are reported rather than faulted back; compared by identity */
  dev_private_owner: unknown = null;
}

const HMM_NEED_FAULT = 1 << 0;
const HMM_NEED_WRITE_FAULT = 1 << 1;
const HMM_NEED_ALL_BITS = HMM_NEED_FAULT | HMM_NEED_WRITE_FAULT;

/** A callback recorded a range to fault in. Only hmm_range_fault_locked() sees this value. */
const HMM_FAULT_PENDING = -EAGAIN;
/** The fault dropped the mmap_lock. Only hmm_range_fault_locked() sees this value. */
const HMM_FAULT_UNLOCKED = -ENOLCK;
/** The pte holds a migration entry to wait for. Only hmm_vma_walk_pmd() sees this value. NON-KERNEL. */
const WAIT_FOR_MIGRATION = -4096;

/** State of a walk (mm/hmm.c: struct hmm_vma_walk). */
class hmm_vma_walk {
  readonly range: hmm_range;
  /** null if the mmap_lock must stay held */
  readonly locked: { locked: boolean } | null;
  last: number;
  end = 0;
  required_fault = 0;
  constructor(range: hmm_range, locked: { locked: boolean } | null) {
    this.range = range;
    this.locked = locked;
    this.last = range.start;
  }
}

type walk_t = mm_walk<hmm_vma_walk>;

/** Stores a pfn and flags in an entry and keeps its HMM_PFN_INOUT_FLAGS. NON-KERNEL: upstream does it in place. */
function set_pfn(hmm_pfns: Float64Array, i: number, pfn: number, cpu_flags: number): void {
  hmm_pfns[i] = ((hmm_pfn_flags(hmm_pfns[i]) & HMM_PFN_INOUT_FLAGS) | cpu_flags) * FLAGS_UNIT + pfn;
}

/** mm/hmm.c: hmm_pfns_fill() */
function hmm_pfns_fill(addr: number, end: number, range: hmm_range, cpu_flags: number): number {
  for (let i = (addr - range.start) / PAGE_SIZE; addr < end; addr += PAGE_SIZE, i++)
    set_pfn(range.hmm_pfns, i, 0, cpu_flags);
  return 0;
}

/** Records [addr, end) for hmm_do_fault() and ends the walk (mm/hmm.c: hmm_record_fault()). */
function hmm_record_fault(m: Machine, addr: number, end: number, required_fault: number, walk: walk_t): number {
  const hmm_vma_walk = walk.private;
  WARN_ON_ONCE(m, required_fault === 0, 'hmm_record_fault');
  hmm_vma_walk.last = addr;
  hmm_vma_walk.end = end;
  hmm_vma_walk.required_fault = required_fault;
  return HMM_FAULT_PENDING;
}

/** Returns HMM_NEED_* for a page that the CPU maps with cpu_flags (mm/hmm.c: hmm_pte_need_fault()). */
function hmm_pte_need_fault(range: hmm_range, entry: number, cpu_flags: number): number {
  const req = (hmm_pfn_flags(entry) & range.pfn_flags_mask) | range.default_flags;
  if ((req & HMM_PFN_REQ_FAULT) === 0) return 0;
  if (req & HMM_PFN_REQ_WRITE && (cpu_flags & HMM_PFN_WRITE) === 0) return HMM_NEED_FAULT | HMM_NEED_WRITE_FAULT;
  if ((cpu_flags & HMM_PFN_VALID) === 0) return HMM_NEED_FAULT;
  return 0;
}

/** Returns the HMM_NEED_* of npages entries together (mm/hmm.c: hmm_range_need_fault()). */
function hmm_range_need_fault(range: hmm_range, first: number, npages: number, cpu_flags: number): number {
  if (((range.default_flags | range.pfn_flags_mask) & HMM_PFN_REQ_FAULT) === 0) return 0;
  let required_fault = 0;
  for (let i = 0; i < npages; i++) {
    required_fault |= hmm_pte_need_fault(range, range.hmm_pfns[first + i], cpu_flags);
    if (required_fault === HMM_NEED_ALL_BITS) break;
  }
  return required_fault;
}

/** hmm_vma_walk_hole() as a plain function (mm/hmm.c: hmm_vma_walk_hole()). */
function walk_hole(m: Machine, addr: number, end: number, walk: walk_t): number {
  const range = walk.private.range;
  const required_fault = hmm_range_need_fault(range, (addr - range.start) / PAGE_SIZE, (end - addr) / PAGE_SIZE, 0);
  if (walk.vma === null && !(required_fault !== 0 && m.patch.hmm_faults_holes)) {
    if (required_fault !== 0) return -EFAULT;
    return hmm_pfns_fill(addr, end, range, HMM_PFN_ERROR);
  }
  if (required_fault !== 0) return hmm_record_fault(m, addr, end, required_fault, walk);
  return hmm_pfns_fill(addr, end, range, 0);
}

/** mm/hmm.c: hmm_vma_walk_hole() */
function* hmm_vma_walk_hole(m: Machine, addr: number, end: number, _depth: number, walk: walk_t): Gen<number> {
  return walk_hole(m, addr, end, walk);
}

/** mm/hmm.c: pmd_to_hmm_pfn_flags() */
function pmd_to_hmm_pfn_flags(pmd: number): number {
  if (pmd_protnone(pmd)) return 0;
  return (pmd_write(pmd) ? HMM_PFN_VALID | HMM_PFN_WRITE : HMM_PFN_VALID) | (HPAGE_PMD_ORDER << HMM_PFN_ORDER_SHIFT);
}

/** mm/hmm.c: hmm_vma_handle_pmd() */
function hmm_vma_handle_pmd(m: Machine, walk: walk_t, addr: number, end: number, first: number, pmd: number): number {
  const range = walk.private.range;
  const npages = (end - addr) / PAGE_SIZE;
  const cpu_flags = pmd_to_hmm_pfn_flags(pmd);
  const required_fault = hmm_range_need_fault(range, first, npages, cpu_flags);
  if (required_fault !== 0) return hmm_record_fault(m, addr, end, required_fault, walk);
  const pfn = pmd_pfn(pmd) + (addr % PMD_SIZE) / PAGE_SIZE;
  for (let i = 0; i < npages; i++) set_pfn(range.hmm_pfns, first + i, pfn + i, cpu_flags);
  return 0;
}

/** mm/hmm.c: pte_to_hmm_pfn_flags() */
function pte_to_hmm_pfn_flags(pte: number): number {
  if (!pte_present(pte) || pte_protnone(pte)) return 0;
  return pte_write(pte) ? HMM_PFN_VALID | HMM_PFN_WRITE : HMM_PFN_VALID;
}

/**
 * Handles the pte of the page at index `i` of hmm_pfns. Returns WAIT_FOR_MIGRATION where upstream waits itself, since
 * only the caller may sleep (mm/hmm.c: hmm_vma_handle_pte()).
 */
function hmm_vma_handle_pte(m: Machine, walk: walk_t, addr: number, end: number, pte: number, i: number): number {
  const range = walk.private.range;
  const hmm_pfns = range.hmm_pfns;
  const req = hmm_pfns[i];
  if (pte_present(pte)) {
    const cpu_flags = pte_to_hmm_pfn_flags(pte);
    const required_fault = hmm_pte_need_fault(range, req, cpu_flags);
    if (required_fault !== 0) return hmm_record_fault(m, addr, end, required_fault, walk);
    const pfn = pte_pfn(pte);
    if (vm_normal_page(m, walk.vma as vm_area_struct, addr, pte) === 0 && !is_zero_pfn(m, pfn)) {
      if (hmm_pte_need_fault(range, req, 0) !== 0) return -EFAULT;
      set_pfn(hmm_pfns, i, 0, HMM_PFN_ERROR);
      return 0;
    }
    set_pfn(hmm_pfns, i, pfn, cpu_flags);
    return 0;
  }
  if (pte_none(pte) || pte_is_uffd_wp_marker(pte)) {
    const required_fault = hmm_pte_need_fault(range, req, 0);
    if (required_fault !== 0) return hmm_record_fault(m, addr, end, required_fault, walk);
    set_pfn(hmm_pfns, i, 0, 0);
    return 0;
  }
  const entry = softleaf_from_pte(pte);
  if (
    softleaf_is_device_private(entry) &&
    page_pgmap(m, softleaf_to_page(m, entry)).owner === range.dev_private_owner
  ) {
    const write = softleaf_is_device_private_write(entry) ? HMM_PFN_WRITE : 0;
    set_pfn(hmm_pfns, i, softleaf_to_pfn(m, entry), HMM_PFN_VALID | write | m.device_private.hmm_flag);
    return 0;
  }
  const required_fault = hmm_pte_need_fault(range, req, 0);
  if (required_fault === 0) {
    set_pfn(hmm_pfns, i, 0, 0);
    return 0;
  }
  const non_owner = softleaf_is_device_private(entry) && !m.patch.hmm_foreign_private_is_error;
  if (softleaf_is_swap(entry) || non_owner || softleaf_is_device_exclusive(entry)) {
    return hmm_record_fault(m, addr, end, required_fault, walk);
  }
  if (softleaf_is_migration(entry)) return WAIT_FOR_MIGRATION;
  return -EFAULT;
}

/** Returns the flag of an hmm_pfn whose number is an offset. NON-KERNEL. */
function absent_pmd_flag(m: Machine): number {
  return m.patch.hmm_absent_pmd_unmarked ? 0 : m.device_private.hmm_flag;
}

/**
 * Returns the number that a walk of a huge private page starts from. NON-KERNEL: a line of upstream's
 * hmm_vma_handle_absent_pmd().
 */
function absent_pmd_pfn(m: Machine, entry: number, start: number): number {
  // Upstream starts from the entry's own pfn even where the walk starts in the middle of the huge page.
  const inside = m.patch.hmm_absent_pmd_inside ? (start % PMD_SIZE) / PAGE_SIZE : 0;
  return softleaf_to_pfn(m, entry) + inside;
}

/** Returns HMM_NEED_* of pages behind an absent pmd. NON-KERNEL: a line of upstream's hmm_vma_handle_absent_pmd(). */
function absent_pmd_need_fault(m: Machine, range: hmm_range, first: number, npages: number): number {
  return m.patch.hmm_error_is_no_fault ? 0 : hmm_range_need_fault(range, first, npages, 0);
}

/** Handles a non-present pmd that is no migration entry (mm/hmm.c: hmm_vma_handle_absent_pmd()). */
function hmm_vma_handle_absent_pmd(
  m: Machine,
  walk: walk_t,
  start: number,
  end: number,
  first: number,
  pmd: number,
): number {
  const range = walk.private.range;
  const npages = (end - start) / PAGE_SIZE;
  const entry = softleaf_from_pmd(pmd);
  const device_private = softleaf_is_device_private(entry) && !m.patch.hmm_absent_pmd_is_error;
  if (device_private && page_pgmap(m, softleaf_to_folio(m, entry)).owner === range.dev_private_owner) {
    let cpu_flags = HMM_PFN_VALID | (HPAGE_PMD_ORDER << HMM_PFN_ORDER_SHIFT) | absent_pmd_flag(m);
    if (softleaf_is_device_private_write(entry)) cpu_flags |= HMM_PFN_WRITE;
    const pfn = absent_pmd_pfn(m, entry, start);
    for (let i = 0; i < npages; i++) set_pfn(range.hmm_pfns, first + i, pfn + i, cpu_flags);
    return 0;
  }
  const required_fault = absent_pmd_need_fault(m, range, first, npages);
  if (required_fault !== 0) return device_private ? hmm_record_fault(m, start, end, required_fault, walk) : -EFAULT;
  return hmm_pfns_fill(start, end, range, HMM_PFN_ERROR);
}

/** mm/hmm.c: hmm_vma_walk_pmd() */
function* hmm_vma_walk_pmd(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  start: number,
  end: number,
  walk: walk_t,
): Gen<number> {
  const hmm_vma_walk = walk.private;
  const range = hmm_vma_walk.range;
  const first = (start - range.start) / PAGE_SIZE;
  const npages = (end - start) / PAGE_SIZE;
  for (;;) {
    if (m.sched.explore) yield* preempt_point(m, 'hmm_vma_walk_pmd');
    const pmd = pmdp_get(pmdt, pi);
    if (pmd_none(pmd)) return walk_hole(m, start, end, walk);
    if (pmd_is_migration_entry(pmd)) {
      if (hmm_range_need_fault(range, first, npages, 0) === 0) {
        return m.patch.hmm_migrating_pmd_unset ? 0 : hmm_pfns_fill(start, end, range, 0);
      }
      hmm_vma_walk.last = start;
      yield* pmd_migration_entry_wait(m, walk.mm, pmdt, pi);
      return -EBUSY;
    }
    if (!pmd_is_table(pmd) && !pmd_present(pmd)) return hmm_vma_handle_absent_pmd(m, walk, start, end, first, pmd);
    if (pmd_trans_huge(pmd)) return hmm_vma_handle_pmd(m, walk, start, end, first, pmd);
    if (!pmd_is_table(pmd)) {
      if (hmm_range_need_fault(range, first, npages, 0) !== 0) return -EFAULT;
      return hmm_pfns_fill(start, end, range, HMM_PFN_ERROR);
    }
    const pt = pte_offset_map(m, pmdt, pi);
    if (pt === null) continue;
    let i = (start / PAGE_SIZE) & 511;
    for (let addr = start, at = first; addr < end; addr += PAGE_SIZE, i++, at++) {
      if (m.sched.explore && addr !== start) yield* preempt_point(m, 'hmm_vma_handle_pte');
      const r = hmm_vma_handle_pte(m, walk, addr, end, ptep_get(pt, i), at);
      if (r === WAIT_FOR_MIGRATION) {
        hmm_vma_walk.last = addr;
        yield* migration_entry_wait(m, walk.mm, pmdt, pi, addr);
        return -EBUSY;
      }
      if (r !== 0) return r;
    }
    return 0;
  }
}

/** Leaves out huge puds: nothing modelled maps one (mm/hmm.c: hmm_vma_walk_pud()). */
function* hmm_vma_walk_pud(_m: Machine, pudt: ptdesc, pi: number): Gen<number> {
  if (pmd_leaf(pmdp_get(pudt, pi))) throw new Unmodelled('hmm_vma_walk_pud: a huge pud');
  return 0;
}

/** mm/hmm.c: hmm_vma_walk_hugetlb_entry() */
function* hmm_vma_walk_hugetlb_entry(
  m: Machine,
  pt: ptdesc,
  pi: number,
  _hmask: number,
  start: number,
  end: number,
  walk: walk_t,
): Gen<number> {
  const range = walk.private.range;
  const vma = walk.vma as vm_area_struct;
  const h = hstate_vma(m, vma);
  const ptl = yield* huge_pte_lock(m, h, walk.mm, pt);
  const entry = huge_ptep_get(m, walk.mm, start, pt, pi);
  const first = (start - range.start) / PAGE_SIZE;
  const cpu_flags = pte_to_hmm_pfn_flags(entry) | (huge_page_order(h) << HMM_PFN_ORDER_SHIFT);
  const required_fault = hmm_pte_need_fault(range, range.hmm_pfns[first], cpu_flags);
  if (required_fault !== 0) {
    spin_unlock(m, ptl);
    return hmm_record_fault(m, start, end, required_fault, walk);
  }
  const size = PAGE_SIZE << huge_page_order(h);
  const pfn = pte_pfn(entry) + (start % size) / PAGE_SIZE;
  const npages = (end - start) / PAGE_SIZE;
  for (let i = 0; i < npages; i++) set_pfn(range.hmm_pfns, first + i, pfn + i, cpu_flags);
  spin_unlock(m, ptl);
  return 0;
}

/** mm/hmm.c: hmm_vma_walk_test() */
function* hmm_vma_walk_test(m: Machine, start: number, end: number, walk: walk_t): Gen<number> {
  const range = walk.private.range;
  const vma = walk.vma as vm_area_struct;
  const refused = VM_IO | VM_PFNMAP | (m.patch.hmm_refuses_mixedmap ? VM_MIXEDMAP : 0);
  if ((vma.vm_flags & refused) === 0 && vma.vm_flags & VM_READ) return 0;
  if (hmm_range_need_fault(range, (start - range.start) / PAGE_SIZE, (end - start) / PAGE_SIZE, 0) !== 0)
    return -EFAULT;
  hmm_pfns_fill(start, end, range, HMM_PFN_ERROR);
  return 1;
}

const hmm_walk_ops: mm_walk_ops<hmm_vma_walk> = {
  pud_entry: hmm_vma_walk_pud,
  pmd_entry: hmm_vma_walk_pmd,
  pte_hole: hmm_vma_walk_hole,
  hugetlb_entry: hmm_vma_walk_hugetlb_entry,
  test_walk: hmm_vma_walk_test,
  walk_lock: PGWALK_RDLOCK,
};

/** Returns the vma to fault in, or null if that is an error. NON-KERNEL: lines of upstream's hmm_do_fault(). */
function vma_of_fault(m: Machine, mm: mm_struct, addr: number): vm_area_struct | null {
  return vma_lookup(mm, addr) ?? (m.patch.hmm_faults_holes ? NULL_VMA : null);
}

/**
 * Faults in the recorded range page by page, with no page-table lock held. Returns -EBUSY on success, so that the walk
 * starts again (mm/hmm.c: hmm_do_fault()).
 */
function* hmm_do_fault(m: Machine, mm: mm_struct, hmm_vma_walk: hmm_vma_walk): Gen<number> {
  const { end, required_fault, locked } = hmm_vma_walk;
  let fault_flags = FAULT_FLAG_REMOTE;
  if (locked !== null) fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  const vma = vma_of_fault(m, mm, hmm_vma_walk.last);
  if (vma === null) return -EFAULT;
  if (required_fault & HMM_NEED_WRITE_FAULT) {
    if ((vma.vm_flags & VM_WRITE) === 0 && !m.patch.hmm_ignores_vm_write) return -EPERM;
    fault_flags |= FAULT_FLAG_WRITE;
  }
  for (let addr = hmm_vma_walk.last; addr < end; addr += PAGE_SIZE) {
    const ret = yield* handle_mm_fault(m, vma, addr, fault_flags);
    if (ret & (VM_FAULT_COMPLETED | VM_FAULT_RETRY)) {
      if (locked !== null) locked.locked = false;
      else WARN_ON_ONCE(m, true, 'hmm_do_fault');
      return HMM_FAULT_UNLOCKED;
    }
    if (ret & VM_FAULT_ERROR) {
      const err = vm_fault_to_errno(ret, 0);
      return WARN_ON(m, err === 0, 'hmm_do_fault') ? -EINVAL : err;
    }
  }
  return -EBUSY;
}

/** mm/hmm.c: hmm_range_fault_locked() */
function* hmm_range_fault_locked(m: Machine, range: hmm_range, locked: { locked: boolean } | null): Gen<number> {
  const walk = new hmm_vma_walk(range, locked);
  const mm = range.notifier.mm;
  mmap_assert_locked(mm);
  let ret: number;
  do {
    if (mmu_interval_check_retry(range.notifier, range.notifier_seq)) return -EBUSY;
    ret = yield* walk_page_range(m, mm, walk.last, range.end, hmm_walk_ops, walk);
    if (ret === HMM_FAULT_PENDING) {
      ret = yield* hmm_do_fault(m, mm, walk);
      if (ret === HMM_FAULT_UNLOCKED) return fatal_signal_pending(m.current) ? -EINTR : -EBUSY;
    }
  } while (ret === -EBUSY);
  return ret;
}

/**
 * Reads the page tables of [start, end) into range.hmm_pfns and faults in what default_flags and the entries request;
 * the mmap_lock stays held. Returns 0, -EBUSY (invalidated meanwhile, or a fault handler has to drop the lock), -EPERM
 * (write to a read-only vma), -EFAULT or -ENOMEM (mm/hmm.c: hmm_range_fault()). Leaves out huge puds.
 */
export function* hmm_range_fault(m: Machine, range: hmm_range): Gen<number> {
  return yield* hmm_range_fault_locked(m, range, null);
}

/** Returns milliseconds since boot, as jiffies with HZ=1000. NON-KERNEL. */
export function jiffies(m: Machine): number {
  return Math.floor(m.sched.now / 1e6);
}

/**
 * hmm_range_fault() that takes the mmap_lock itself, lets fault handlers drop it, and retries for `timeout` jiffies (0:
 * without limit). Also returns -EINTR after SIGKILL (mm/hmm.c: hmm_range_fault_unlocked_timeout()).
 */
export function* hmm_range_fault_unlocked_timeout(m: Machine, range: hmm_range, timeout: number): Gen<number> {
  const mm = range.notifier.mm;
  const state = { locked: false };
  let deadline = 0;
  let ret: number;
  do {
    if (timeout !== 0 && !state.locked) deadline = jiffies(m) + timeout;
    range.notifier_seq = yield* mmu_interval_read_begin(m, range.notifier);
    ret = yield* mmap_read_lock_killable(m, mm);
    if (ret !== 0) return ret;
    if (check_stable_address_space(mm) !== 0) {
      mmap_read_unlock(m, mm);
      return -EFAULT;
    }
    if (timeout !== 0 && jiffies(m) > deadline) {
      mmap_read_unlock(m, mm);
      return -EBUSY;
    }
    state.locked = true;
    ret = yield* hmm_range_fault_locked(m, range, state);
    if (state.locked) mmap_read_unlock(m, mm);
  } while (ret === -EBUSY);
  return ret;
}
