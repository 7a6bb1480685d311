// SPDX-License-Identifier: GPL-2.0-only
// A device's view of an address space in HMM v14: hmm_vma_get_pfns() and hmm_vma_fault(), the latter of patch 10/16
// (8 December 2016, Message-Id 1481215184-18551-11-git-send-email-jglisse@redhat.com). NON-KERNEL throughout.

import { pmd_off } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  pmd_index,
  pmd_none,
  pmd_pfn,
  pmd_trans_huge,
  pmd_write,
  type ptdesc,
  pte_index,
  pte_none,
  pte_pfn,
  pte_present,
  pte_write,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EFAULT, EINVAL, EPERM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import {
  pmd_is_valid_softleaf,
  softleaf_from_pte,
  softleaf_is_device_private,
  softleaf_is_device_private_write,
  softleaf_is_migration,
  softleaf_is_swap,
  softleaf_to_page,
} from '../../mm/leafops.ts';
import { handle_mm_fault } from '../../mm/memory/fault.ts';
import { migration_entry_wait } from '../../mm/migrate/entry.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_WRITE,
  is_vm_hugetlb_page,
  type mm_struct,
  type vm_area_struct,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
  VM_READ,
  VM_SPECIAL,
  VM_WRITE,
} from '../../mm/mm_types.ts';
import {
  mmu_notifier,
  type mmu_notifier_ops,
  type mmu_notifier_range,
  mmu_notifier_register,
  mmu_notifier_unregister,
} from '../../mm/mmu_notifier.ts';
import { page_to_pfn } from '../../mm/page.ts';
import { pte_offset_map } from '../../mm/pgtable-generic.ts';
import { PAGE_SIZE } from '../../mm/physmem.ts';
import { Unmodelled } from '../../unmodelled.ts';
import {
  HMM_PFN_DEVICE,
  HMM_PFN_EMPTY,
  HMM_PFN_ERROR,
  hmm_pfn_from_pfn,
  HMM_PFN_READ,
  HMM_PFN_SPECIAL,
  HMM_PFN_UNADDRESSABLE,
  HMM_PFN_WRITE,
} from './hmm.ts';

/** A range of addresses whose entries a driver is about to use. NON-KERNEL (include/linux/hmm.h of HMM v14). */
export class hmm_range {
  start = 0;
  end = 0;
  /** False once the page tables of the range changed. */
  valid = false;
}

function invalidate(mirror: hmm_mirror, range: mmu_notifier_range): void {
  for (const r of mirror.ranges) if (r.start < range.end && range.start < r.end) r.valid = false;
}

const hmm_mmu_notifier_ops: mmu_notifier_ops = {
  *invalidate_range_start(_m, subscription, range) {
    invalidate(subscription as hmm_mirror, range);
    return 0;
  },
  // What was read while the page tables changed is invalid too.
  *invalidate_range_end(_m, subscription, range) {
    invalidate(subscription as hmm_mirror, range);
  },
};

/**
 * A device's mirror of an address space, with what v14 keeps per mm in struct hmm. NON-KERNEL (include/linux/hmm.h of
 * HMM v14).
 */
export class hmm_mirror extends mmu_notifier {
  readonly ranges: hmm_range[] = [];
  constructor() {
    super(hmm_mmu_notifier_ops);
  }
}

/** Registers a mirror. Returns 0 or a negative errno. NON-KERNEL (mm/hmm.c of HMM v14). */
export function* hmm_mirror_register(m: Machine, mirror: hmm_mirror, mm: mm_struct): Gen<number> {
  return yield* mmu_notifier_register(m, mirror, mm);
}

/** Unregisters a mirror. NON-KERNEL (mm/hmm.c of HMM v14). */
export function* hmm_mirror_unregister(m: Machine, mirror: hmm_mirror): Gen<void> {
  yield* mmu_notifier_unregister(m, mirror, mirror.mm as mm_struct);
}

function mirror_of(mm: mm_struct): hmm_mirror | null {
  for (const s of mm.notifier_subscriptions?.list ?? []) if (s instanceof hmm_mirror) return s;
  return null;
}

/** Faults one page in. Returns 0, -EAGAIN if mmap_lock was dropped, or -EFAULT. */
function* hmm_vma_do_fault(
  m: Machine,
  vma: vm_area_struct,
  fault: number,
  addr: number,
  pfns: Float64Array,
  i: number,
  block: boolean,
): Gen<number> {
  let flags = FAULT_FLAG_REMOTE;
  if (!block || m.patch.v14_block_ignored) flags |= FAULT_FLAG_ALLOW_RETRY;
  if (fault & HMM_PFN_WRITE) flags |= FAULT_FLAG_WRITE;
  const r = yield* handle_mm_fault(m, vma, addr, flags);
  if (r & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) return -EAGAIN;
  if (r & VM_FAULT_ERROR) {
    pfns[i] = HMM_PFN_ERROR;
    return -EFAULT;
  }
  return 0;
}

/** Returns the hmm_pfn_t of a pte, or -1 for a migration entry that has to be waited for. */
function entry_of(m: Machine, pte: number, flag: number, fault: number): number {
  if (pte_none(pte)) return HMM_PFN_EMPTY;
  if (pte_present(pte)) return hmm_pfn_from_pfn(pte_pfn(pte)) + flag + (pte_write(pte) ? HMM_PFN_WRITE : 0);
  const entry = softleaf_from_pte(pte);
  if (softleaf_is_swap(entry)) return 0;
  if (softleaf_is_device_private(entry)) {
    const write = softleaf_is_device_private_write(entry) ? HMM_PFN_WRITE : 0;
    return (
      hmm_pfn_from_pfn(page_to_pfn(m, softleaf_to_page(m, entry))) +
      write +
      HMM_PFN_DEVICE +
      HMM_PFN_UNADDRESSABLE +
      flag
    );
  }
  return fault !== 0 && softleaf_is_migration(entry) ? -1 : HMM_PFN_ERROR;
}

/** Fills pfns and faults in pages that lack a permission of `fault`. Returns 0 or a negative errno. */
function* hmm_vma_walk(
  m: Machine,
  vma: vm_area_struct,
  fault: number,
  start: number,
  end: number,
  pfns: Float64Array,
  block: boolean,
): Gen<number> {
  const mm = vma.vm_mm;
  const flag = vma.vm_flags & VM_READ ? HMM_PFN_READ : 0;
  for (let addr = start; addr < end; ) {
    if (m.sched.explore) yield* preempt_point(m, 'hmm_vma_walk');
    const i = (addr - start) / PAGE_SIZE;
    const pmdt = pmd_off(mm, addr);
    const pi = pmd_index(addr);
    const pmd = pmdt === null ? 0 : pmdt.entry[pi];
    let entry: number;
    if (pmd_none(pmd)) entry = HMM_PFN_EMPTY;
    else if (pmd_is_valid_softleaf(pmd))
      throw new Unmodelled('hmm_vma_walk: a pmd of a kind that HMM v14 does not know');
    else if (pmd_trans_huge(pmd))
      entry = hmm_pfn_from_pfn(pmd_pfn(pmd) + pte_index(addr)) + flag + (pmd_write(pmd) ? HMM_PFN_WRITE : 0);
    else {
      const pt = pte_offset_map(m, pmdt as ptdesc, pi);
      if (pt === null) continue;
      entry = entry_of(m, pt.entry[pte_index(addr)], flag, fault);
    }
    if (entry < 0) {
      yield* migration_entry_wait(m, mm, pmdt as ptdesc, pi, addr);
      continue;
    }
    pfns[i] = entry;
    if ((fault & entry) !== fault) {
      const ret = yield* hmm_vma_do_fault(m, vma, fault, addr, pfns, i, block);
      if (ret !== 0) return ret;
      continue;
    }
    addr += PAGE_SIZE;
  }
  return 0;
}

function invalid(vma: vm_area_struct, start: number, end: number): boolean {
  return start < vma.vm_start || start >= vma.vm_end || end < vma.vm_start || end > vma.vm_end;
}

/** Starts tracking the range; hmm_vma_range_done() ends it. */
function begin(mirror: hmm_mirror, range: hmm_range, start: number, end: number): void {
  range.start = start;
  range.end = end;
  range.valid = true;
  mirror.ranges.push(range);
}

function special(vma: vm_area_struct): boolean {
  return is_vm_hugetlb_page(vma) || (vma.vm_flags & VM_SPECIAL) !== 0;
}

/**
 * Reads the page tables of a range of one vma under mmap_lock. Returns 0, after which hmm_vma_range_done() has to
 * follow, or -EINVAL for a range outside of the vma, without a mirror, and for mappings that cannot be mirrored.
 * NON-KERNEL (mm/hmm.c of HMM v14).
 */
export function* hmm_vma_get_pfns(
  m: Machine,
  vma: vm_area_struct,
  range: hmm_range,
  start: number,
  end: number,
  pfns: Float64Array,
): Gen<number> {
  if (special(vma)) {
    pfns.fill(HMM_PFN_SPECIAL, 0, (end - start) / PAGE_SIZE);
    return -EINVAL;
  }
  const mirror = mirror_of(vma.vm_mm);
  if (invalid(vma, start, end) || mirror === null) return -EINVAL;
  begin(mirror, range, start, end);
  yield* hmm_vma_walk(m, vma, 0, start, end, pfns, false);
  return 0;
}

/**
 * Ends hmm_vma_get_pfns() or hmm_vma_fault(). Returns false if the page tables changed since. NON-KERNEL (mm/hmm.c of
 * HMM v14).
 */
export function hmm_vma_range_done(_m: Machine, vma: vm_area_struct, range: hmm_range): boolean {
  const { ranges } = mirror_of(vma.vm_mm) as hmm_mirror;
  ranges.splice(ranges.indexOf(range), 1);
  return range.valid;
}

/**
 * Reads the page tables of a range and faults in pages that are not mapped, or not writable if `write`. Unaddressable
 * pages stay where they are. Returns 0, after which hmm_vma_range_done() has to follow, or -EINVAL, -EPERM, -EFAULT, or
 * -EAGAIN if mmap_lock was dropped, which `block` excludes. NON-KERNEL (mm/hmm.c of HMM v14).
 */
export function* hmm_vma_fault(
  m: Machine,
  vma: vm_area_struct,
  range: hmm_range,
  start: number,
  end: number,
  pfns: Float64Array,
  write: boolean,
  block: boolean,
): Gen<number> {
  const mirror = mirror_of(vma.vm_mm);
  if (invalid(vma, start, end) || mirror === null) return -EINVAL;
  const needs = VM_READ | (write ? VM_WRITE : 0);
  if ((vma.vm_flags & needs) !== needs && !m.patch.v14_faults_without_permission) return -EPERM;
  begin(mirror, range, start, end);
  if (special(vma)) {
    pfns.fill(HMM_PFN_SPECIAL, 0, (end - start) / PAGE_SIZE);
    return 0;
  }
  const fault = HMM_PFN_READ | (write ? HMM_PFN_WRITE : 0);
  const ret = yield* hmm_vma_walk(m, vma, fault, start, end, pfns, block);
  if (ret !== 0) hmm_vma_range_done(m, vma, range);
  return ret;
}
