// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../arch/x86/mm/pgtable/pgalloc.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_USER,
  ALIGN_DOWN,
  HPAGE_PMD_NR,
  HPAGE_PMD_SIZE,
  PAGE_ALIGN,
  pgd_index,
  PGDIR_SIZE,
  pmd_addr_end,
  pmd_index,
  pmd_none,
  type ptdesc,
  pte_advance_pfn,
  pte_clear_uffd,
  pte_dirty,
  pte_index,
  pte_mkuffd,
  pte_mkwrite,
  pte_modify,
  pte_none,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_uffd,
  pte_write,
  pud_addr_end,
  pud_index,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import {
  folio_pte_batch_flags,
  FPB_RESPECT_SOFT_DIRTY,
  FPB_RESPECT_WRITE,
  modify_prot_commit_ptes,
  modify_prot_start_ptes,
  pte_clear,
  set_pte_at,
} from '../arch/x86/mm/pgtable/pte.ts';
import { mm_pkey_alloc, mm_pkey_free, mm_pkey_is_allocated } from '../arch/x86/mm/pkeys.ts';
import type { Machine } from '../machine.ts';
import { EACCES, EAGAIN, EINTR, EINVAL, ENOMEM, ENOSPC, EPERM } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { BUG_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import { cond_resched, preempt_point } from '../kernel/sched/core.ts';
import { Unmodelled } from '../unmodelled.ts';
import { populate_vma_page_range } from './gup/gup.ts';
import { change_huge_pmd } from './huge_memory/change.ts';
import { __split_huge_pmd } from './huge_memory/split_pmd.ts';
import { pmd_is_huge } from './huge_memory/sysfs.ts';
import { hugetlb_change_protection } from './hugetlb/vma.ts';
import {
  make_pte_marker_entry,
  make_readable_device_private_entry_from_page,
  make_readable_exclusive_migration_entry_from_page,
  make_readable_migration_entry_from_page,
  PTE_MARKER_UFFD_WP,
  softleaf_from_pte,
  softleaf_is_device_private_write,
  softleaf_is_guard_marker,
  softleaf_is_marker,
  softleaf_is_migration_write,
  softleaf_is_poison_marker,
  softleaf_to_flags,
  softleaf_to_page,
  softleaf_to_pte,
} from './leafops.ts';
import { vm_normal_page } from './memory/fault.ts';
import { pmd_alloc, pte_alloc, pud_alloc } from './memory/pgalloc.ts';
import {
  is_vm_hugetlb_page,
  type mm_struct,
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  type vm_area_struct,
  VM_GROWSDOWN,
  VM_HUGETLB,
  VM_LOCKED,
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
  vma_is_anonymous,
} from './mm_types.ts';
import { vm_stat_account } from './mmap/find_vma.ts';
import { calc_vm_prot_bits, vma_set_page_prot } from './mmap/mmap.ts';
import { mmap_write_lock, mmap_write_lock_killable, mmap_write_unlock, vma_start_write } from './mmap_lock.ts';
import {
  mmu_gather,
  tlb_change_page_size,
  tlb_end_vma,
  tlb_finish_mmu,
  tlb_flush_pte_range,
  tlb_gather_mmu,
  tlb_start_vma,
} from './mmu_gather.ts';
import {
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
  MMU_NOTIFY_PROTECTION_VMA,
} from './mmu_notifier.ts';
import { PageAnonExclusive } from './page-flags.ts';
import { folio_test_anon, folio_test_large, page_folio, PageAnon } from './page.ts';
import { pte_offset_map_lock } from './pgtable-generic.ts';
import { PAGE_SIZE } from './physmem.ts';
import { flush_tlb_batched_pending } from './rmap/tlb_batch.ts';
import { userfaultfd_pte_wp, userfaultfd_wp_use_markers } from './userfaultfd/userfaultfd.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from './util.ts';
import { vma_modify_flags } from './vma/merge.ts';
import {
  map_deny_write_exec,
  vm_flags_reset,
  vma_find,
  vma_is_sealed,
  vma_iterator,
  vma_prev,
  vma_wants_manual_pte_write_upgrade,
} from './vma/vma.ts';

/** Rights that a protection key can take: PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE (include/uapi/asm-generic/mman-common.h). */
const PKEY_ACCESS_MASK = 3;

// What a change of protection does (include/linux/mm.h: MM_CP_*).
export const MM_CP_TRY_CHANGE_WRITABLE = 1 << 0;
export const MM_CP_PROT_NUMA = 1 << 1;
export const MM_CP_UFFD_WP = 1 << 2;
export const MM_CP_UFFD_WP_RESOLVE = 1 << 3;
const MM_CP_UFFD_WP_ALL = MM_CP_UFFD_WP | MM_CP_UFFD_WP_RESOLVE;

const PROT_SEM = 8;
const PROT_GROWSDOWN = 0x01000000;
const PROT_GROWSUP = 0x02000000;

/**
 * Leaves out soft-dirty tracking, which the modelled configuration lacks (mm/mprotect.c: maybe_change_pte_writable()).
 */
function maybe_change_pte_writable(m: Machine, vma: vm_area_struct, pte: number): boolean {
  if (WARN_ON_ONCE(m, (vma.vm_flags & VM_WRITE) === 0, 'maybe_change_pte_writable')) return false;
  if (pte_protnone(pte)) return false;
  return !userfaultfd_pte_wp(vma, pte);
}

/** mm/mprotect.c: can_change_private_pte_writable() */
function can_change_private_pte_writable(m: Machine, vma: vm_area_struct, addr: number, pte: number): boolean {
  if (!maybe_change_pte_writable(m, vma, pte)) return false;
  const page = vm_normal_page(m, vma, addr, pte);
  return page !== 0 && folio_test_anon(m, page_folio(m, page)) && PageAnonExclusive(m, page);
}

/** mm/mprotect.c: can_change_shared_pte_writable() */
function can_change_shared_pte_writable(m: Machine, vma: vm_area_struct, pte: number): boolean {
  return maybe_change_pte_writable(m, vma, pte) && pte_dirty(pte);
}

/**
 * Returns true if a pte of a writable vma may be made writable without a write fault (mm/mprotect.c:
 * can_change_pte_writable()). Leaves out soft-dirty tracking.
 */
export function can_change_pte_writable(m: Machine, vma: vm_area_struct, addr: number, pte: number): boolean {
  if ((vma.vm_flags & VM_SHARED) === 0) return can_change_private_pte_writable(m, vma, addr, pte);
  return can_change_shared_pte_writable(m, vma, pte);
}

/**
 * Returns true if the change of a pte leaves TLB entries that allow more than the new one
 * (arch/x86/include/asm/tlbflush.h: pte_needs_flush()).
 */
function pte_needs_flush(oldpte: number, newpte: number): boolean {
  if ((oldpte & _PAGE_PRESENT) === 0) return false;
  if (pte_pfn(oldpte) !== pte_pfn(newpte)) return true;
  const diff = (oldpte ^ newpte) & ~_PAGE_ACCESSED;
  if (diff & oldpte & (_PAGE_DIRTY | _PAGE_PRESENT)) return true;
  return (diff & (_PAGE_RW | _PAGE_USER | _PAGE_PROTNONE | _PAGE_PSE | _PAGE_NX)) !== 0;
}

/**
 * A change of protection and the batch of present ptes that it is at. NON-KERNEL (upstream: arguments that its functions
 * hand down).
 */
class prot_change {
  readonly tlb: mmu_gather;
  readonly vma: vm_area_struct;
  readonly newprot: number;
  /** MM_CP_* */
  readonly cp_flags: number;
  pt: ptdesc | null = null;
  /** index of the first pte in pt */
  i = 0;
  addr = 0;
  nr_ptes = 0;
  oldpte = 0;
  ptent = 0;
  folio = 0;
  /** first page of the batch, 0 for ptes without struct page */
  page = 0;
  constructor(tlb: mmu_gather, vma: vm_area_struct, newprot: number, cp_flags: number) {
    this.tlb = tlb;
    this.vma = vma;
    this.newprot = newprot;
    this.cp_flags = cp_flags;
  }
}

/** Commits nr_ptes of the batch from index idx on (mm/mprotect.c: prot_commit_flush_ptes()). */
function prot_commit_flush_ptes(
  m: Machine,
  change: prot_change,
  nr_ptes: number,
  idx: number,
  set_write: boolean,
): void {
  const addr = change.addr + idx * PAGE_SIZE;
  const oldpte = pte_advance_pfn(change.oldpte, idx);
  let ptent = pte_advance_pfn(change.ptent, idx);
  if (set_write) ptent = pte_mkwrite(ptent);
  modify_prot_commit_ptes(m, change.vma, addr, change.pt as ptdesc, change.i + idx, oldpte, ptent, nr_ptes);
  if (pte_needs_flush(oldpte, ptent)) tlb_flush_pte_range(change.tlb, addr, nr_ptes * PAGE_SIZE);
}

/**
 * Commits a batch of one anonymous folio's ptes; those of exclusive pages become writable (mm/mprotect.c:
 * commit_anon_folio_batch(), mm/mprotect.c: page_anon_exclusive_batch()).
 */
function commit_anon_folio_batch(m: Machine, change: prot_change): void {
  const { page, nr_ptes } = change;
  for (let idx = 0; idx < nr_ptes; ) {
    const exclusive = PageAnonExclusive(m, page + idx);
    let len = 1;
    while (idx + len < nr_ptes && PageAnonExclusive(m, page + idx + len) === exclusive) len++;
    prot_commit_flush_ptes(m, change, len, idx, exclusive);
    idx += len;
  }
}

/** mm/mprotect.c: set_write_prot_commit_flush_ptes() */
function set_write_prot_commit_flush_ptes(m: Machine, change: prot_change): void {
  const { vma, folio, ptent, nr_ptes } = change;
  if (vma.vm_flags & VM_SHARED) {
    prot_commit_flush_ptes(m, change, nr_ptes, 0, can_change_shared_pte_writable(m, vma, ptent));
  } else if (maybe_change_pte_writable(m, vma, ptent) && folio !== 0 && folio_test_anon(m, folio)) {
    commit_anon_folio_batch(m, change);
  } else {
    prot_commit_flush_ptes(m, change, nr_ptes, 0, false);
  }
}

/**
 * Changes a non-present pte; returns 1 if it changed, else 0. Device-exclusive entries stay as they are (mm/mprotect.c:
 * change_softleaf_pte()).
 */
function change_softleaf_pte(
  m: Machine,
  vma: vm_area_struct,
  addr: number,
  pt: ptdesc,
  i: number,
  oldpte: number,
  cp_flags: number,
): number {
  const entry = softleaf_from_pte(oldpte);
  let newpte: number;
  if (softleaf_is_migration_write(entry)) {
    const page = softleaf_to_page(m, entry);
    const make = PageAnon(m, page)
      ? make_readable_exclusive_migration_entry_from_page
      : make_readable_migration_entry_from_page;
    newpte = softleaf_to_pte(make(m, page, softleaf_to_flags(m, entry)));
  } else if (softleaf_is_device_private_write(entry)) {
    newpte = softleaf_to_pte(make_readable_device_private_entry_from_page(m, softleaf_to_page(m, entry)));
    if (pte_uffd(oldpte)) newpte = pte_mkuffd(newpte);
  } else if (softleaf_is_marker(entry)) {
    if (softleaf_is_poison_marker(entry) || softleaf_is_guard_marker(entry)) return 0;
    if (cp_flags & MM_CP_UFFD_WP_RESOLVE) {
      pte_clear(m, vma.vm_mm, addr, pt, i);
      return 1;
    }
    return 0;
  } else {
    newpte = oldpte;
  }
  if (cp_flags & MM_CP_UFFD_WP) newpte = pte_mkuffd(newpte);
  else if (cp_flags & MM_CP_UFFD_WP_RESOLVE) newpte = pte_clear_uffd(newpte);
  if (newpte === oldpte) return 0;
  set_pte_at(m, vma.vm_mm, addr, pt, i, newpte);
  return 1;
}

/** Changes a batch of present ptes (mm/mprotect.c: change_present_ptes()). */
function change_present_ptes(m: Machine, change: prot_change): void {
  const { vma, cp_flags } = change;
  const oldpte = modify_prot_start_ptes(m, vma, change.addr, change.pt as ptdesc, change.i, change.nr_ptes);
  let ptent = pte_modify(oldpte, change.newprot);
  if (cp_flags & MM_CP_UFFD_WP) ptent = pte_mkuffd(ptent);
  else if (cp_flags & MM_CP_UFFD_WP_RESOLVE) ptent = pte_clear_uffd(ptent);
  change.oldpte = oldpte;
  change.ptent = ptent;
  if (cp_flags & MM_CP_TRY_CHANGE_WRITABLE && !pte_write(ptent)) set_write_prot_commit_flush_ptes(m, change);
  else prot_commit_flush_ptes(m, change, change.nr_ptes, 0, false);
}

/**
 * Changes the entries of one pte table. Returns how many, or -EAGAIN if the pmd no longer points to a table
 * (mm/mprotect.c: change_pte_range()).
 */
function* change_pte_range(
  m: Machine,
  change: prot_change,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  end: number,
): Gen<number> {
  const { vma, cp_flags } = change;
  tlb_change_page_size(change.tlb, PAGE_SIZE);
  const pt = yield* pte_offset_map_lock(m, vma.vm_mm, pmdt, pi, addr);
  if (pt === null) return -EAGAIN;
  flush_tlb_batched_pending(m, vma.vm_mm);
  change.pt = pt;
  let pages = 0;
  let nr_ptes = 1;
  for (; addr !== end; addr += nr_ptes * PAGE_SIZE) {
    nr_ptes = 1;
    const i = pte_index(addr);
    const oldpte = pt.entry[i];
    if (pte_present(oldpte)) {
      const page = vm_normal_page(m, vma, addr, oldpte);
      const folio = page === 0 ? 0 : page_folio(m, page);
      if (folio !== 0 && folio_test_large(m, folio)) {
        const flags = FPB_RESPECT_SOFT_DIRTY | FPB_RESPECT_WRITE;
        nr_ptes = folio_pte_batch_flags(m, folio, null, pt, i, { pte: oldpte }, (end - addr) / PAGE_SIZE, flags);
      }
      change.i = i;
      change.addr = addr;
      change.nr_ptes = nr_ptes;
      change.folio = folio;
      change.page = page;
      change_present_ptes(m, change);
      pages += nr_ptes;
    } else if (pte_none(oldpte)) {
      if ((cp_flags & MM_CP_UFFD_WP) === 0) continue;
      if (userfaultfd_wp_use_markers(vma)) {
        set_pte_at(m, vma.vm_mm, addr, pt, i, softleaf_to_pte(make_pte_marker_entry(PTE_MARKER_UFFD_WP)));
        pages++;
      }
    } else {
      pages += change_softleaf_pte(m, vma, addr, pt, i, oldpte, cp_flags);
    }
  }
  pte_unmap_unlock(m, pt);
  return pages;
}

/** mm/mprotect.c: pgtable_split_needed() */
function pgtable_split_needed(vma: vm_area_struct, cp_flags: number): boolean {
  return (cp_flags & MM_CP_UFFD_WP) !== 0 && !vma_is_anonymous(vma);
}

/** mm/mprotect.c: pgtable_populate_needed() */
function pgtable_populate_needed(vma: vm_area_struct, cp_flags: number): boolean {
  return (cp_flags & MM_CP_UFFD_WP) !== 0 && userfaultfd_wp_use_markers(vma);
}

/** mm/mprotect.c: change_pmd_range() */
function* change_pmd_range(m: Machine, change: prot_change, pmdt: ptdesc, addr: number, end: number): Gen<number> {
  const { tlb, vma, newprot, cp_flags } = change;
  const populate = pgtable_populate_needed(vma, cp_flags);
  let pages = 0;
  while (addr !== end) {
    const next = pmd_addr_end(addr, end);
    const pi = pmd_index(addr);
    if (populate && (yield* pte_alloc(m, vma.vm_mm, pmdt, pi))) return -ENOMEM;
    const pmd = pmdt.entry[pi];
    let handled = pmd_none(pmd);
    if (pmd_is_huge(pmd)) {
      if (next - addr !== HPAGE_PMD_SIZE || pgtable_split_needed(vma, cp_flags)) {
        yield* __split_huge_pmd(m, vma, pmdt, pi, addr, false);
        if (populate && (yield* pte_alloc(m, vma.vm_mm, pmdt, pi))) return -ENOMEM;
      } else {
        const ret = yield* change_huge_pmd(m, tlb, vma, pmdt, addr, newprot, cp_flags);
        if (ret) {
          if (ret === HPAGE_PMD_NR) pages += HPAGE_PMD_NR;
          handled = true;
        }
      }
    }
    if (!handled) {
      const ret = yield* change_pte_range(m, change, pmdt, pi, addr, next);
      if (ret < 0) continue;
      pages += ret;
    }
    yield* cond_resched(m);
    addr = next;
  }
  return pages;
}

/**
 * Changes the entries below one pgd entry. The notifier range begins at the first table that exists (mm/mprotect.c:
 * change_pud_range()). Leaves out huge puds.
 */
function* change_pud_range(m: Machine, change: prot_change, pudt: ptdesc, addr: number, end: number): Gen<number> {
  const { vma } = change;
  const populate = pgtable_populate_needed(vma, change.cp_flags);
  let range: mmu_notifier_range | null = null;
  let pages = 0;
  for (let next: number; addr !== end; addr = next) {
    next = pud_addr_end(addr, end);
    const ui = pud_index(addr);
    const pmdt = populate
      ? yield* pmd_alloc(m, vma.vm_mm, pudt, ui, addr)
      : ((pudt.child as (ptdesc | null)[])[ui] ?? null);
    if (pmdt === null) {
      if (!populate) {
        if (pudt.entry[ui] !== 0) throw new Unmodelled('change_pud_range: huge puds');
        continue;
      }
      pages = -ENOMEM;
      break;
    }
    if (range === null) {
      range = new mmu_notifier_range();
      mmu_notifier_range_init(range, MMU_NOTIFY_PROTECTION_VMA, 0, vma.vm_mm, addr, end);
      yield* mmu_notifier_invalidate_range_start(m, range);
    }
    pages += yield* change_pmd_range(m, change, pmdt, addr, next);
  }
  if (range !== null) yield* mmu_notifier_invalidate_range_end(m, range);
  return pages;
}

/** Also does change_p4d_range(): four-level tables fold the p4d (mm/mprotect.c: change_protection_range()). */
function* change_protection_range(m: Machine, change: prot_change, addr: number, end: number): Gen<number> {
  const { tlb, vma } = change;
  const populate = pgtable_populate_needed(vma, change.cp_flags);
  BUG_ON(addr >= end, 'mm/mprotect.c: change_protection_range() of an empty range');
  const pgd = vma.vm_mm.pgd;
  let pages = 0;
  tlb_start_vma(m, tlb, vma);
  for (let next: number; addr !== end; addr = next) {
    next = Math.min(ALIGN_DOWN(addr, PGDIR_SIZE) + PGDIR_SIZE, end);
    const gi = pgd_index(addr);
    const pudt = populate
      ? yield* pud_alloc(m, vma.vm_mm, pgd, gi, addr)
      : ((pgd.child as (ptdesc | null)[])[gi] ?? null);
    if (pudt === null) {
      if (!populate) continue;
      pages = -ENOMEM;
      break;
    }
    pages += yield* change_pud_range(m, change, pudt, addr, next);
  }
  tlb_end_vma(m, tlb, vma);
  return pages;
}

/**
 * Applies the vma's vm_page_prot to the entries of [start, end), or userfaultfd write protection as cp_flags (MM_CP_*)
 * say. Returns the number of changed entries (mm/mprotect.c: change_protection()). Leaves out NUMA hinting and
 * userfaultfd's read-write protection.
 */
export function* change_protection(
  m: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  start: number,
  end: number,
  cp_flags: number,
): Gen<number> {
  if (WARN_ON_ONCE(m, (cp_flags & MM_CP_UFFD_WP_ALL) === MM_CP_UFFD_WP_ALL, 'change_protection')) return 0;
  if (cp_flags & MM_CP_PROT_NUMA) throw new Unmodelled('change_protection: MM_CP_PROT_NUMA');
  if (is_vm_hugetlb_page(vma)) return yield* hugetlb_change_protection(m, vma, start, end, vma.vm_page_prot, cp_flags);
  return yield* change_protection_range(m, new prot_change(tlb, vma, vma.vm_page_prot, cp_flags), start, end);
}

/**
 * Changes the flags of part of a vma and its entries. at.prev becomes the vma that holds the part then. Returns 0 or
 * -errno (mm/mprotect.c: mprotect_fixup()).
 */
function* mprotect_fixup(
  m: Machine,
  vmi: vma_iterator,
  tlb: mmu_gather,
  vma: vm_area_struct,
  at: { prev: vm_area_struct | null },
  start: number,
  end: number,
  newflags: number,
): Gen<number> {
  const mm = vma.vm_mm;
  const oldflags = vma.vm_flags;
  const nrpages = (end - start) / PAGE_SIZE;
  let charged = 0;
  if (vma_is_sealed(vma)) return -EPERM;
  if (newflags === oldflags) {
    at.prev = vma;
    return 0;
  }
  if (newflags & VM_WRITE) {
    if ((oldflags & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE)) === 0) {
      charged = nrpages;
      if (security_vm_enough_memory_mm(m, mm, charged)) return -ENOMEM;
      newflags |= VM_ACCOUNT;
    }
  } else if (oldflags & VM_ACCOUNT && vma_is_anonymous(vma) && vma.anon_vma === null) {
    newflags &= ~VM_ACCOUNT;
  }
  const ptr = { flags: newflags };
  const modified = yield* vma_modify_flags(m, vmi, at.prev, vma, start, end, ptr);
  if (typeof modified === 'number') {
    vm_unacct_memory(m, charged);
    return modified;
  }
  vma = modified;
  newflags = ptr.flags;
  at.prev = vma;
  yield* vma_start_write(m, vma);
  vm_flags_reset(vma, newflags);
  const mm_cp_flags = vma_wants_manual_pte_write_upgrade(vma) ? MM_CP_TRY_CHANGE_WRITABLE : 0;
  vma_set_page_prot(vma);
  yield* change_protection(m, tlb, vma, start, end, mm_cp_flags);
  if (oldflags & VM_ACCOUNT && (newflags & VM_ACCOUNT) === 0) vm_unacct_memory(m, nrpages);
  if (newflags & VM_WRITE && (oldflags & (VM_LOCKED | VM_WRITE | VM_SHARED)) === VM_LOCKED) {
    yield* populate_vma_page_range(m, vma, start, end, null);
  }
  vm_stat_account(mm, oldflags, -nrpages);
  vm_stat_account(mm, newflags, nrpages);
  return 0;
}

/**
 * Common part of the mprotect system calls; a pkey of -1 is none (mm/mprotect.c: do_mprotect_pkey()). No vma grows up on
 * x86, so PROT_GROWSUP fails.
 */
function* do_mprotect_pkey(m: Machine, start: number, len: number, prot: number, pkey: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) return -EINVAL;
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  if (len === 0) return 0;
  len = PAGE_ALIGN(len);
  const end = start + len;
  if (len >= 2 ** 64 || end >= 2 ** 64) return -ENOMEM;
  if ((prot & ~(7 | PROT_SEM)) !== 0) return -EINVAL;
  if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  if (pkey !== -1 && !mm_pkey_is_allocated(mm, pkey)) {
    mmap_write_unlock(m, mm);
    return -EINVAL;
  }

  const vmi = new vma_iterator(mm, start);
  let vma = vma_find(vmi, end);
  let error = -ENOMEM;
  if (vma !== null) {
    error = 0;
    if (grows & PROT_GROWSDOWN) {
      start = vma.vm_start;
      if ((vma.vm_flags & VM_GROWSDOWN) === 0) error = -EINVAL;
    } else if (vma.vm_start > start) {
      error = -ENOMEM;
    } else if (grows & PROT_GROWSUP) {
      error = -EINVAL;
    }
  }
  if (vma === null || error) {
    mmap_write_unlock(m, mm);
    return error;
  }
  const at: { prev: vm_area_struct | null } = { prev: vma_prev(vmi) };
  if (start > vma.vm_start) at.prev = vma;

  const tlb = new mmu_gather();
  tlb_gather_mmu(m, tlb, mm);
  let nstart = start;
  let tmp = vma.vm_start;
  for (vma = vma_find(vmi, end); vma !== null; vma = vma_find(vmi, end)) {
    if (vma.vm_start !== tmp) {
      error = -ENOMEM;
      break;
    }
    const newflags = calc_vm_prot_bits(prot) | (vma.vm_flags & ~VM_ACCESS_FLAGS);
    if (newflags & ~(newflags >> 4) & VM_ACCESS_FLAGS) {
      error = -EACCES;
      break;
    }
    if (map_deny_write_exec(mm, vma.vm_flags, newflags)) {
      error = -EACCES;
      break;
    }
    tmp = Math.min(vma.vm_end, end);
    error = yield* mprotect_fixup(m, vmi, tlb, vma, at, nstart, tmp, newflags);
    if (error) break;
    tmp = vmi.last + 1;
    nstart = tmp;
  }
  if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
  tlb_finish_mmu(m, tlb);
  if (!error && tmp < end) error = -ENOMEM;
  mmap_write_unlock(m, mm);
  return error;
}

/**
 * The mprotect system call. Returns -ENOMEM for a hole and -EACCES for more than the mapping may have (mm/mprotect.c:
 * mprotect()).
 */
export function* sys_mprotect(m: Machine, start: number, len: number, prot: number): Gen<number> {
  return yield* do_mprotect_pkey(m, start, len, prot, -1);
}

/** The pkey_mprotect system call (mm/mprotect.c: pkey_mprotect()). */
export function* sys_pkey_mprotect(m: Machine, start: number, len: number, prot: number, pkey: number): Gen<number> {
  return yield* do_mprotect_pkey(m, start, len, prot, pkey);
}

/** The pkey_alloc system call: there is no key left (mm/mprotect.c: pkey_alloc()). */
export function* sys_pkey_alloc(m: Machine, flags: number, init_val: number): Gen<number> {
  if (flags !== 0) return -EINVAL;
  if (init_val < 0 || init_val > PKEY_ACCESS_MASK) return -EINVAL;
  const mm = m.current.mm as mm_struct;
  yield* mmap_write_lock(m, mm);
  const pkey = mm_pkey_alloc(mm);
  mmap_write_unlock(m, mm);
  return pkey === -1 ? -ENOSPC : pkey;
}

/** The pkey_free system call (mm/mprotect.c: pkey_free()). */
export function* sys_pkey_free(m: Machine, pkey: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  yield* mmap_write_lock(m, mm);
  const ret = mm_pkey_free(mm, pkey);
  mmap_write_unlock(m, mm);
  return ret;
}
