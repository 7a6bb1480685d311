// SPDX-License-Identifier: GPL-2.0-only

import {
  ALIGN_DOWN,
  HPAGE_PMD_NR,
  HPAGE_PMD_ORDER,
  HPAGE_PMD_SIZE,
  pmd_none,
  pmd_pfn,
  pmd_present,
  pmd_trans_huge,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EINVAL } from '../../errno.ts';
import { vfs_register_text } from '../../fs/namei.ts';
import { khugepaged_attr, THP } from '../../fs/sysfs.ts';
import { WARN_ON_ONCE } from '../../kernel/printk.ts';
import { folio_put } from '../folio.ts';
import { hugetlb_sysfs_init } from '../hugetlb_sysfs.ts';
import {
  type mm_struct,
  MMF_DISABLE_THP,
  MMF_HUGE_ZERO_FOLIO,
  type vm_area_struct,
  VM_GROWSDOWN,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_MIXEDMAP,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SPECIAL,
  vma_is_anonymous,
} from '../mm_types.ts';
import { folio_clear_large_rmappable } from '../page-flags.ts';
import { folio_order, folio_pfn } from '../page.ts';
import { __GFP_ZERO, folio_alloc, GFP_TRANSHUGE, GFP_TRANSHUGE_LIGHT } from '../page_alloc.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { shmem_allowable_huge_orders, shmem_enabled_show, shmem_enabled_store } from '../shmem.ts';

export const PMD_ORDER = HPAGE_PMD_ORDER;

// Bits of transparent_hugepage_flags (include/linux/huge_mm.h: enum transparent_hugepage_flag).
const TRANSPARENT_HUGEPAGE_UNSUPPORTED = 0;
const TRANSPARENT_HUGEPAGE_FLAG = 1;
const TRANSPARENT_HUGEPAGE_REQ_MADV_FLAG = 2;
const TRANSPARENT_HUGEPAGE_DEFRAG_DIRECT_FLAG = 3;
const TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_FLAG = 4;
const TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_OR_MADV_FLAG = 5;
const TRANSPARENT_HUGEPAGE_DEFRAG_REQ_MADV_FLAG = 6;
const TRANSPARENT_HUGEPAGE_DEFRAG_KHUGEPAGED_FLAG = 7;
export const TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG = 8;

/** Folio orders that anonymous memory may use: 2 to 9 (include/linux/huge_mm.h). */
export const THP_ORDERS_ALL_ANON = ((1 << (PMD_ORDER + 1)) - 1) & ~3;
export const THP_ORDERS_ALL_SPECIAL_DAX = (1 << PMD_ORDER) | (1 << 18);
/** Callers that ask whether a vma may have huge pages (include/linux/huge_mm.h: enum tva_type). */
const MAX_PAGECACHE_ORDER = PMD_ORDER;
export const THP_ORDERS_ALL_FILE_DEFAULT = ((1 << (MAX_PAGECACHE_ORDER + 1)) - 1) & ~1;

// Who asks whether a vma may have huge pages (include/linux/huge_mm.h: enum tva_type).
export const TVA_SMAPS = 0;
export const TVA_PAGEFAULT = 1;
export const TVA_KHUGEPAGED = 2;
export const TVA_FORCED_COLLAPSE = 3;

/** Vma flags that exclude a vma from collapse (include/linux/mm.h). */
const VM_NO_KHUGEPAGED = VM_SPECIAL | VM_HUGETLB;

// Counters by folio order (include/linux/huge_mm.h: enum mthp_stat_item).
export const MTHP_STAT_ANON_FAULT_ALLOC = 0;
export const MTHP_STAT_ANON_FAULT_FALLBACK = 1;
export const MTHP_STAT_ANON_FAULT_FALLBACK_CHARGE = 2;
export const MTHP_STAT_COLLAPSE_ALLOC = 3;
export const MTHP_STAT_COLLAPSE_ALLOC_FAILED = 4;
export const MTHP_STAT_SHMEM_ALLOC = 11;
export const MTHP_STAT_SHMEM_FALLBACK = 12;
export const MTHP_STAT_SPLIT = 14;
export const MTHP_STAT_SPLIT_FAILED = 15;
export const MTHP_STAT_SPLIT_DEFERRED = 16;
export const MTHP_STAT_NR_ANON = 17;
export const MTHP_STAT_NR_ANON_PARTIALLY_MAPPED = 18;
export const MTHP_STAT_COLLAPSE_EXCEED_SWAP = 19;
export const MTHP_STAT_COLLAPSE_EXCEED_NONE = 20;
export const MTHP_STAT_COLLAPSE_EXCEED_SHARED = 21;
const __MTHP_STAT_COUNT = 22;

/** Events of /proc/vmstat that transparent huge pages count (include/linux/vm_event_item.h). */
type vm_event_item =
  | 'THP_FAULT_ALLOC'
  | 'THP_FAULT_FALLBACK'
  | 'THP_FAULT_FALLBACK_CHARGE'
  | 'THP_COLLAPSE_ALLOC'
  | 'THP_COLLAPSE_ALLOC_FAILED'
  | 'THP_SPLIT_PAGE'
  | 'THP_SPLIT_PAGE_FAILED'
  | 'THP_DEFERRED_SPLIT_PAGE'
  | 'THP_UNDERUSED_SPLIT_PAGE'
  | 'THP_SPLIT_PMD'
  | 'THP_SCAN_EXCEED_NONE_PTE'
  | 'THP_SCAN_EXCEED_SWAP_PTE'
  | 'THP_SCAN_EXCEED_SHARED_PTE'
  | 'THP_ZERO_PAGE_ALLOC'
  | 'THP_ZERO_PAGE_ALLOC_FAILED'
  | 'THP_MIGRATION_SUCCESS'
  | 'THP_MIGRATION_FAIL'
  | 'THP_MIGRATION_SPLIT'
  | 'THP_FILE_ALLOC'
  | 'THP_FILE_FALLBACK'
  | 'THP_FILE_MAPPED';

const HUGE_ZERO_UNSET_PFN = -1;

/**
 * State of transparent huge pages: settings, the huge zero folio, counters. NON-KERNEL: the global variables of
 * mm/huge_memory.c.
 */
export class thp_state {
  private readonly m: Machine;
  /** bits 1 << TRANSPARENT_HUGEPAGE_* */
  transparent_hugepage_flags =
    (1 << TRANSPARENT_HUGEPAGE_DEFRAG_REQ_MADV_FLAG) |
    (1 << TRANSPARENT_HUGEPAGE_DEFRAG_KHUGEPAGED_FLAG) |
    (1 << TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG);
  /** Bit n: folios of order n, set by hugepages-<size>kB/enabled. */
  huge_anon_orders_always = 0;
  huge_anon_orders_madvise = 0;
  huge_anon_orders_inherit = 1 << PMD_ORDER;
  /** shmem_enabled: never */
  shmem_enabled: 'always' | 'within_size' | 'advise' | 'never' | 'deny' | 'force' = 'never';
  split_underused_thp = true;
  khugepaged_max_ptes_none = HPAGE_PMD_NR - 1;
  khugepaged_max_ptes_swap = HPAGE_PMD_NR / 8;
  khugepaged_max_ptes_shared = HPAGE_PMD_NR / 2;
  khugepaged_pages_to_scan = HPAGE_PMD_NR * 8;
  khugepaged_scan_sleep_millisecs = 10000;
  khugepaged_alloc_sleep_millisecs = 60000;
  /** 0 until it is allocated. */
  huge_zero_folio = 0;
  huge_zero_pfn = HUGE_ZERO_UNSET_PFN;
  huge_zero_refcount = 0;
  /** Folios on the deferred split queue; only reclaim reads it. */
  readonly deferred_split_lru = new Set<number>();
  readonly vm_events = new Map<vm_event_item, number>();
  readonly mthp_stats = new Int32Array((PMD_ORDER + 1) * __MTHP_STAT_COUNT);

  constructor(m: Machine) {
    this.m = m;
    // hugepage_init() turns THP off on machines with less than 512 MiB. The configured mode acts like a later write to
    // `enabled`.
    if (m.config.mem < 512 * 1024 * 1024) this.transparent_hugepage_flags = 0;
    this.set_global_enabled_mode(m.config.thp);
  }

  test(bit: number): boolean {
    return (this.transparent_hugepage_flags & (1 << bit)) !== 0;
  }
  set(bit: number, on: boolean): void {
    if (on) this.transparent_hugepage_flags |= 1 << bit;
    else this.transparent_hugepage_flags &= ~(1 << bit);
  }
  set_global_enabled_mode(mode: 'always' | 'madvise' | 'never'): void {
    this.set(TRANSPARENT_HUGEPAGE_FLAG, mode === 'always');
    this.set(TRANSPARENT_HUGEPAGE_REQ_MADV_FLAG, mode === 'madvise');
  }

  get_huge_zero_folio(): boolean {
    if (this.huge_zero_refcount !== 0) {
      this.huge_zero_refcount++;
      return true;
    }
    const zero_folio = folio_alloc(this.m, GFP_TRANSHUGE | __GFP_ZERO, HPAGE_PMD_ORDER);
    if (zero_folio === 0) {
      count_vm_event(this.m, 'THP_ZERO_PAGE_ALLOC_FAILED');
      return false;
    }
    folio_clear_large_rmappable(this.m, zero_folio);
    this.huge_zero_folio = zero_folio;
    this.huge_zero_pfn = folio_pfn(this.m, zero_folio);
    // The second reference is the shrinker's, which drops it under memory pressure.
    this.huge_zero_refcount = 2;
    count_vm_event(this.m, 'THP_ZERO_PAGE_ALLOC');
    return true;
  }
  put_huge_zero_folio(): void {
    WARN_ON_ONCE(this.m, --this.huge_zero_refcount === 0, 'put_huge_zero_folio');
  }

  /**
   * Frees the huge zero folio if only the shrinker holds a reference. Returns the number of pages freed
   * (mm/huge_memory.c: shrink_huge_zero_folio_scan()).
   */
  shrink_huge_zero_folio_scan(): number {
    if (this.huge_zero_refcount !== 1) return 0;
    const zero_folio = this.huge_zero_folio;
    this.huge_zero_refcount = 0;
    this.huge_zero_folio = 0;
    this.huge_zero_pfn = HUGE_ZERO_UNSET_PFN;
    folio_put(this.m, zero_folio);
    return HPAGE_PMD_NR;
  }
}

/** Counts an event of /proc/vmstat (include/linux/vmstat.h: count_vm_event()). */
export function count_vm_event(m: Machine, item: vm_event_item): void {
  m.thp.vm_events.set(item, (m.thp.vm_events.get(item) ?? 0) + 1);
}

/**
 * Adds `delta` to a counter of one folio order, 1 to 9; other orders are ignored (include/linux/huge_mm.h:
 * mod_mthp_stat()).
 */
export function mod_mthp_stat(m: Machine, order: number, item: number, delta: number): void {
  if (order <= 0 || order > PMD_ORDER) return;
  m.thp.mthp_stats[order * __MTHP_STAT_COUNT + item] += delta;
}

/** Returns a counter of one folio order, 1 to 9 (mm/huge_memory.c: sum_mthp_stat()). */
function sum_mthp_stat(m: Machine, order: number, item: number): number {
  return m.thp.mthp_stats[order * __MTHP_STAT_COUNT + item];
}

/** Increments a counter of one folio order (include/linux/huge_mm.h: count_mthp_stat()). */
export function count_mthp_stat(m: Machine, order: number, item: number): void {
  mod_mthp_stat(m, order, item, 1);
}

/** Returns true unless `enabled` is "never" (include/linux/huge_mm.h: hugepage_global_enabled()). */
export function hugepage_global_enabled(m: Machine): boolean {
  return m.thp.test(TRANSPARENT_HUGEPAGE_FLAG) || m.thp.test(TRANSPARENT_HUGEPAGE_REQ_MADV_FLAG);
}

/** Returns true if `enabled` is "always" (include/linux/huge_mm.h: hugepage_global_always()). */
function hugepage_global_always(m: Machine): boolean {
  return m.thp.test(TRANSPARENT_HUGEPAGE_FLAG);
}

/**
 * Returns true if read faults may map the huge zero folio (include/linux/huge_mm.h:
 * transparent_hugepage_use_zero_page()).
 */
export function transparent_hugepage_use_zero_page(m: Machine): boolean {
  return m.thp.test(TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG);
}

/** Returns the highest order in a bit mask of orders, or -1 (include/linux/huge_mm.h: highest_order()). */
export function highest_order(orders: number): number {
  return 31 - Math.clz32(orders);
}

/**
 * Removes `prev` from the mask. Returns the mask; upstream updates it in place and returns the new highest order
 * (include/linux/huge_mm.h: next_order()).
 */
export function next_order(orders: number, prev: number): number {
  return orders & ~(1 << prev);
}

/**
 * Returns true if the naturally aligned block of 2^order pages around addr lies within the vma, and for a file also at
 * an aligned offset (include/linux/huge_mm.h: thp_vma_suitable_order()).
 */
export function thp_vma_suitable_order(vma: vm_area_struct, addr: number, order: number): boolean {
  const hpage_size = PAGE_SIZE * 2 ** order;
  if (!vma_is_anonymous(vma) && (vma.vm_start / PAGE_SIZE - vma.vm_pgoff) % 2 ** order !== 0) return false;
  const haddr = ALIGN_DOWN(addr, hpage_size);
  return haddr >= vma.vm_start && haddr + hpage_size <= vma.vm_end;
}

/** Removes the orders that do not fit the vma at addr (include/linux/huge_mm.h: thp_vma_suitable_orders()). */
export function thp_vma_suitable_orders(vma: vm_area_struct, addr: number, orders: number): number {
  let order = highest_order(orders);
  while (orders !== 0) {
    if (thp_vma_suitable_order(vma, addr, order)) break;
    orders = next_order(orders, order);
    order = highest_order(orders);
  }
  return orders;
}

/** Returns true if madvise() or prctl() disabled THP for the vma (include/linux/huge_mm.h: vma_thp_disabled()). */
export function vma_thp_disabled(vma: vm_area_struct, vm_flags: number): boolean {
  return (vm_flags & VM_NOHUGEPAGE) !== 0 || (vma.vm_mm.flags & MMF_DISABLE_THP) !== 0;
}

/**
 * Returns true for a vma of raw pfns (mm/huge_memory.c: vma_is_special_huge()). Leaves out DAX: not configured.
 */
function vma_is_special_huge(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_PFNMAP | VM_MIXEDMAP)) !== 0;
}

/** Returns true for the stack that exec is still building (include/linux/mm.h: vma_is_temporary_stack()). */
function vma_is_temporary_stack(vma: vm_area_struct): boolean {
  const incomplete = VM_RAND_READ | VM_SEQ_READ;
  return (vma.vm_flags & VM_GROWSDOWN) !== 0 && (vma.vm_flags & incomplete) === incomplete;
}

/**
 * Returns true if a vma of a file other than tmpfs may use huge pages. NON-KERNEL: the file branch of upstream's
 * __thp_vma_allowable_orders().
 */
function vma_can_map_huge_file(m: Machine, vma: vm_area_struct, vm_flags: number, type: number): boolean {
  const has_huge_fault = vma.vm_ops?.huge_fault !== undefined;
  const bypass = type === TVA_FORCED_COLLAPSE || ((vma.vm_flags & VM_PFNMAP) !== 0 && has_huge_fault);
  const allow = hugepage_global_always(m) || (hugepage_global_enabled(m) && (vm_flags & VM_HUGEPAGE) !== 0);
  if (!bypass && !allow) return false;
  if (type === TVA_PAGEFAULT) return has_huge_fault;
  if (type === TVA_SMAPS && has_huge_fault) return true;
  // file_thp_enabled() is false here: no file system but tmpfs has large folios.
  return false;
}

/**
 * Returns the orders of the mask that the vma may use (mm/huge_memory.c: __thp_vma_allowable_orders()). Leaves out DAX,
 * memory cgroups and the vdso, which this kernel does not have.
 */
function __thp_vma_allowable_orders(
  m: Machine,
  vma: vm_area_struct,
  vm_flags: number,
  type: number,
  orders: number,
): number {
  const smaps = type === TVA_SMAPS;
  const in_pf = type === TVA_PAGEFAULT;
  if (vma_is_anonymous(vma)) orders &= THP_ORDERS_ALL_ANON;
  else if (vma_is_special_huge(vma)) orders &= THP_ORDERS_ALL_SPECIAL_DAX;
  else orders &= THP_ORDERS_ALL_FILE_DEFAULT;
  if (orders === 0) return 0;
  if (m.thp.test(TRANSPARENT_HUGEPAGE_UNSUPPORTED) || vma_thp_disabled(vma, vm_flags)) return 0;
  if (!in_pf && !smaps && (vm_flags & VM_NO_KHUGEPAGED) !== 0) return 0;
  if (!in_pf) {
    let order = highest_order(orders);
    while (orders !== 0) {
      const addr = vma.vm_end - PAGE_SIZE * 2 ** order;
      if (thp_vma_suitable_order(vma, addr, order)) break;
      orders = next_order(orders, order);
      order = highest_order(orders);
    }
    if (orders === 0) return 0;
  }
  const mapping = vma.vm_file?.f_mapping ?? null;
  if (!in_pf && vma.vm_file !== null && mapping !== null && mapping.kind === 'shmem') {
    return (
      orders & shmem_allowable_huge_orders(m, vma.vm_file.f_inode, vma, vma.vm_pgoff, 0, type === TVA_FORCED_COLLAPSE)
    );
  }
  if (!vma_is_anonymous(vma)) return vma_can_map_huge_file(m, vma, vm_flags, type) ? orders : 0;
  if (vma_is_temporary_stack(vma)) return 0;
  if (vma.anon_vma === null) return smaps || in_pf ? orders : 0;
  return orders;
}

/**
 * Returns the orders of the mask that a vma with these vm_flags may use for the caller `type` (TVA_*), 0 for none
 * (include/linux/huge_mm.h: thp_vma_allowable_orders()).
 */
export function thp_vma_allowable_orders(
  m: Machine,
  vma: vm_area_struct,
  vm_flags: number,
  type: number,
  orders: number,
): number {
  if (type !== TVA_FORCED_COLLAPSE && vma_is_anonymous(vma)) {
    let mask = m.thp.huge_anon_orders_always;
    if (vm_flags & VM_HUGEPAGE) mask |= m.thp.huge_anon_orders_madvise;
    if (hugepage_global_always(m) || ((vm_flags & VM_HUGEPAGE) !== 0 && hugepage_global_enabled(m))) {
      mask |= m.thp.huge_anon_orders_inherit;
    }
    orders &= mask;
    if (orders === 0) return 0;
  }
  return __thp_vma_allowable_orders(m, vma, vm_flags, type, orders);
}

/** Returns true if the vma may use folios of this order (include/linux/huge_mm.h: thp_vma_allowable_order()). */
export function thp_vma_allowable_order(
  m: Machine,
  vma: vm_area_struct,
  vm_flags: number,
  type: number,
  order: number,
): boolean {
  return thp_vma_allowable_orders(m, vma, vm_flags, type, 1 << order) !== 0;
}

const __GFP_DIRECT_RECLAIM = 0x400;
const __GFP_KSWAPD_RECLAIM = 0x800;
const __GFP_NORETRY = 0x10000;

/**
 * Returns the gfp flags for a huge page of the vma, as the `defrag` setting and the vma's advice say (mm/huge_memory.c:
 * vma_thp_gfp_mask()).
 */
export function vma_thp_gfp_mask(m: Machine, vma: vm_area_struct | null): number {
  const vma_madvised = vma !== null && (vma.vm_flags & VM_HUGEPAGE) !== 0;
  const thp = m.thp;
  if (thp.test(TRANSPARENT_HUGEPAGE_DEFRAG_DIRECT_FLAG)) return GFP_TRANSHUGE | (vma_madvised ? 0 : __GFP_NORETRY);
  if (thp.test(TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_FLAG)) return GFP_TRANSHUGE_LIGHT | __GFP_KSWAPD_RECLAIM;
  if (thp.test(TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_OR_MADV_FLAG)) {
    return GFP_TRANSHUGE_LIGHT | (vma_madvised ? __GFP_DIRECT_RECLAIM : __GFP_KSWAPD_RECLAIM);
  }
  if (thp.test(TRANSPARENT_HUGEPAGE_DEFRAG_REQ_MADV_FLAG))
    return GFP_TRANSHUGE_LIGHT | (vma_madvised ? __GFP_DIRECT_RECLAIM : 0);
  return GFP_TRANSHUGE_LIGHT;
}

/** Returns true for the huge zero folio (include/linux/huge_mm.h: is_huge_zero_folio()). */
export function is_huge_zero_folio(m: Machine, folio: number): boolean {
  return folio !== 0 && m.thp.huge_zero_folio === folio;
}

/** Returns true for a pfn of the huge zero folio (include/linux/huge_mm.h: is_huge_zero_pfn()). */
export function is_huge_zero_pfn(m: Machine, pfn: number): boolean {
  return m.thp.huge_zero_pfn === ALIGN_DOWN(pfn, HPAGE_PMD_NR);
}

/** Returns true for a pmd that maps the huge zero folio (include/linux/huge_mm.h: is_huge_zero_pmd()). */
export function is_huge_zero_pmd(m: Machine, pmd: number): boolean {
  return pmd_present(pmd) && is_huge_zero_pfn(m, pmd_pfn(pmd));
}

/**
 * Returns the huge zero folio and allocates it at first use; 0 without memory. The mm holds one reference until it dies
 * (mm/huge_memory.c: mm_get_huge_zero_folio()).
 */
export function mm_get_huge_zero_folio(m: Machine, mm: mm_struct): number {
  if (mm.flags & MMF_HUGE_ZERO_FOLIO) return m.thp.huge_zero_folio;
  if (!m.thp.get_huge_zero_folio()) return 0;
  mm.flags |= MMF_HUGE_ZERO_FOLIO;
  return m.thp.huge_zero_folio;
}

/** Drops the dying mm's reference to the huge zero folio (mm/huge_memory.c: mm_put_huge_zero_folio()). */
export function mm_put_huge_zero_folio(m: Machine, mm: mm_struct): void {
  if (mm.flags & MMF_HUGE_ZERO_FOLIO) m.thp.put_huge_zero_folio();
}

/** Returns true for a huge mapping or a non-present entry in a pmd (include/linux/huge_mm.h: pmd_is_huge()). */
export function pmd_is_huge(pmd: number): boolean {
  return pmd_present(pmd) ? pmd_trans_huge(pmd) : !pmd_none(pmd);
}

/** Returns true for a folio that one pmd can map (include/linux/huge_mm.h: folio_test_pmd_mappable()). */
export function folio_test_pmd_mappable(m: Machine, folio: number): boolean {
  return folio_order(m, folio) >= HPAGE_PMD_ORDER;
}

/** Returns true for HPAGE_PMD_ORDER (include/linux/huge_mm.h: is_pmd_order()). */
export function is_pmd_order(order: number): boolean {
  return order === HPAGE_PMD_ORDER;
}

const GLOBAL_MODES = ['always', 'madvise', 'never'] as const;
const DEFRAG_MODES = ['always', 'defer', 'defer+madvise', 'madvise', 'never'] as const;
const DEFRAG_FLAGS = [
  TRANSPARENT_HUGEPAGE_DEFRAG_DIRECT_FLAG,
  TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_FLAG,
  TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_OR_MADV_FLAG,
  TRANSPARENT_HUGEPAGE_DEFRAG_REQ_MADV_FLAG,
];
const ANON_MODES = ['always', 'inherit', 'madvise', 'never'] as const;
export const SHMEM_MODES = ['always', 'within_size', 'advise', 'never', 'deny', 'force'] as const;

/** Formats a sysfs setting: all modes with the active one in brackets. NON-KERNEL. */
export function pick(modes: readonly string[], active: string): string {
  return `${modes.map((x) => (x === active ? `[${x}]` : x)).join(' ')}\n`;
}

/** Removes the trailing newline. NON-KERNEL: upstream compares with sysfs_streq(). */
function word(buf: string): string {
  return buf.endsWith('\n') ? buf.slice(0, -1) : buf;
}

/** Shows transparent_hugepage/enabled (mm/huge_memory.c: enabled_show()). */
export function enabled_show(m: Machine): string {
  const thp = m.thp;
  if (thp.test(TRANSPARENT_HUGEPAGE_FLAG)) return pick(GLOBAL_MODES, 'always');
  return pick(GLOBAL_MODES, thp.test(TRANSPARENT_HUGEPAGE_REQ_MADV_FLAG) ? 'madvise' : 'never');
}

/** Stores transparent_hugepage/enabled. Returns 0 or -EINVAL (mm/huge_memory.c: enabled_store()). */
export function enabled_store(m: Machine, buf: string): number {
  const mode = GLOBAL_MODES.find((x) => x === word(buf));
  if (mode === undefined) return -EINVAL;
  m.thp.set_global_enabled_mode(mode);
  return 0;
}

/** Shows transparent_hugepage/defrag (mm/huge_memory.c: defrag_show()). */
export function defrag_show(m: Machine): string {
  const i = DEFRAG_FLAGS.findIndex((f) => m.thp.test(f));
  return pick(DEFRAG_MODES, DEFRAG_MODES[i < 0 ? 4 : i]);
}

/** Stores transparent_hugepage/defrag. Returns 0 or -EINVAL (mm/huge_memory.c: defrag_store()). */
export function defrag_store(m: Machine, buf: string): number {
  const mode = (DEFRAG_MODES as readonly string[]).indexOf(word(buf));
  if (mode < 0) return -EINVAL;
  DEFRAG_FLAGS.forEach((f, i) => m.thp.set(f, i === mode));
  return 0;
}

/** Shows a flag file such as transparent_hugepage/use_zero_page (mm/huge_memory.c: single_hugepage_flag_show()). */
export function single_hugepage_flag_show(m: Machine, flag: number): string {
  return m.thp.test(flag) ? '1\n' : '0\n';
}

/** Stores 0 or 1 to a flag file. Returns 0 or -EINVAL (mm/huge_memory.c: single_hugepage_flag_store()). */
export function single_hugepage_flag_store(m: Machine, buf: string, flag: number): number {
  if (!/^\+?\d+\n?$/.test(buf)) return -EINVAL;
  const value = parseInt(buf, 10);
  if (value > 1) return -EINVAL;
  m.thp.set(flag, value === 1);
  return 0;
}

/** Shows hugepages-<size>kB/enabled of one order (mm/huge_memory.c: anon_enabled_show()). */
export function anon_enabled_show(m: Machine, order: number): string {
  const bit = 1 << order;
  const thp = m.thp;
  if (thp.huge_anon_orders_always & bit) return pick(ANON_MODES, 'always');
  if (thp.huge_anon_orders_inherit & bit) return pick(ANON_MODES, 'inherit');
  return pick(ANON_MODES, thp.huge_anon_orders_madvise & bit ? 'madvise' : 'never');
}

/** Stores hugepages-<size>kB/enabled. Returns 0 or -EINVAL (mm/huge_memory.c: anon_enabled_store()). */
export function anon_enabled_store(m: Machine, order: number, buf: string): number {
  const mode = ANON_MODES.find((x) => x === word(buf));
  if (mode === undefined) return -EINVAL;
  const bit = 1 << order;
  const thp = m.thp;
  thp.huge_anon_orders_always &= ~bit;
  thp.huge_anon_orders_inherit &= ~bit;
  thp.huge_anon_orders_madvise &= ~bit;
  if (mode === 'always') thp.huge_anon_orders_always |= bit;
  if (mode === 'inherit') thp.huge_anon_orders_inherit |= bit;
  if (mode === 'madvise') thp.huge_anon_orders_madvise |= bit;
  return 0;
}

/** Registers the THP files below /sys/kernel/mm (mm/huge_memory.c: hugepage_init_sysfs()). */
export function sysfs_init(m: Machine): void {
  vfs_register_text(m, `${THP}/enabled`, 0o644, { show: enabled_show, store: enabled_store });
  vfs_register_text(m, `${THP}/defrag`, 0o644, { show: defrag_show, store: defrag_store });
  for (const [name, flag] of [
    ['use_zero_page', TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG],
    ['khugepaged/defrag', TRANSPARENT_HUGEPAGE_DEFRAG_KHUGEPAGED_FLAG],
  ] as const) {
    vfs_register_text(m, `${THP}/${name}`, 0o644, {
      show: (mm) => single_hugepage_flag_show(mm, flag),
      store: (mm, buf) => single_hugepage_flag_store(mm, buf, flag),
    });
  }
  vfs_register_text(m, `${THP}/hpage_pmd_size`, 0o444, { show: () => `${HPAGE_PMD_SIZE}\n` });
  vfs_register_text(m, `${THP}/shmem_enabled`, 0o644, { show: shmem_enabled_show, store: shmem_enabled_store });
  for (let order = 2; order <= HPAGE_PMD_ORDER; order++) {
    vfs_register_text(m, `${THP}/hugepages-${4 << order}kB/enabled`, 0o644, {
      show: (mm) => anon_enabled_show(mm, order),
      store: (mm, buf) => anon_enabled_store(mm, order, buf),
    });
  }
  khugepaged_attr(m, 'max_ptes_none', 'khugepaged_max_ptes_none', 511);
  khugepaged_attr(m, 'max_ptes_swap', 'khugepaged_max_ptes_swap', 511);
  khugepaged_attr(m, 'max_ptes_shared', 'khugepaged_max_ptes_shared', 511);
  khugepaged_attr(m, 'pages_to_scan', 'khugepaged_pages_to_scan', 0xffffffff, 1);
  khugepaged_attr(m, 'scan_sleep_millisecs', 'khugepaged_scan_sleep_millisecs', 0xffffffff);
  khugepaged_attr(m, 'alloc_sleep_millisecs', 'khugepaged_alloc_sleep_millisecs', 0xffffffff);
  for (let order = 2; order <= HPAGE_PMD_ORDER; order++) {
    vfs_register_text(m, `${THP}/hugepages-${4 << order}kB/stats/nr_anon`, 0o444, {
      show: (mm) => `${sum_mthp_stat(mm, order, MTHP_STAT_NR_ANON)}\n`,
    });
  }
  hugetlb_sysfs_init(m);
}
