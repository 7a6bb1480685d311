// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  HPAGE_PMD_SIZE,
  pmd_none,
  pmd_present,
  pmdp_get,
  type ptdesc,
  pte_dirty,
  pte_index,
  pte_none,
  pte_pfn,
  pte_present,
  pte_young,
  ptep_get,
} from '../../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../../machine.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { spin_unlock } from '../../../kernel/locking/spinlock.ts';
import { cond_resched } from '../../../kernel/sched/core.ts';
import { pmd_trans_huge_lock } from '../../../mm/huge_memory/pmd_lock.ts';
import {
  THP_ORDERS_ALL_ANON,
  THP_ORDERS_ALL_FILE_DEFAULT,
  THP_ORDERS_ALL_SPECIAL_DAX,
  thp_vma_allowable_orders,
  TVA_SMAPS,
} from '../../../mm/huge_memory/sysfs.ts';
import { hstate_vma, huge_page_size, hugetlb_report_usage, vma_kernel_pagesize } from '../../../mm/hugetlb/pool.ts';
import { huge_pte_lock, huge_ptep_get } from '../../../mm/hugetlb/vma.ts';
import {
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_has_pfn,
  softleaf_is_device_private,
  softleaf_is_swap,
  softleaf_to_page,
} from '../../../mm/leafops.ts';
import { vm_normal_page, vm_normal_page_pmd } from '../../../mm/memory/fault.ts';
import {
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  type mm_struct,
  MM_SWAPENTS,
  type vm_area_struct,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_READ,
  VM_WRITE,
} from '../../../mm/mm_types.ts';
import { lock_next_vma, vma_end_read } from '../../../mm/mmap_lock.ts';
import {
  folio_test_dirty,
  folio_test_swapbacked,
  PG_referenced,
  PG_young,
  test_flags,
} from '../../../mm/page-flags.ts';
import {
  folio_is_zone_device,
  folio_nr_pages,
  folio_ref_count,
  folio_test_anon,
  page_folio,
  pfn_to_page,
} from '../../../mm/page.ts';
import {
  ACTION_AGAIN,
  type mm_walk,
  type mm_walk_ops,
  PGWALK_VMA_RDLOCK_VERIFY,
  walk_page_vma,
} from '../../../mm/pagewalk.ts';
import { pte_offset_map_lock } from '../../../mm/pgtable-generic.ts';
import { PAGE_SIZE } from '../../../mm/physmem.ts';
import { folio_maybe_mapped_shared, folio_precise_page_mapcount } from '../../../mm/rmap/rmap.ts';

/** Statistics of a vma, in bytes (fs/proc/task_mmu.c: struct mem_size_stats). */
class mem_size_stats {
  resident = 0;
  shared_clean = 0;
  shared_dirty = 0;
  private_clean = 0;
  private_dirty = 0;
  referenced = 0;
  anonymous = 0;
  lazyfree = 0;
  anonymous_thp = 0;
  shmem_thp = 0;
  file_thp = 0;
  swap = 0;
  shared_hugetlb = 0;
  private_hugetlb = 0;
  /** this and the other pss fields are shifted by PSS_SHIFT */
  pss = 0;
  pss_dirty = 0;
  pss_locked = 0;
  swap_pss = 0;
}

const PSS_SHIFT = 12;
const PSS_ONE = 1 << PSS_SHIFT;

/** fs/proc/task_mmu.c: smaps_page_accumulate() */
function smaps_page_accumulate(
  m: Machine,
  mss: mem_size_stats,
  folio: number,
  size: number,
  pss: number,
  dirty: boolean,
  locked: boolean,
  is_private: boolean,
): void {
  mss.pss += pss;
  if (locked) mss.pss_locked += pss;
  if (dirty || folio_test_dirty(m, folio)) {
    mss.pss_dirty += pss;
    if (is_private) mss.private_dirty += size;
    else mss.shared_dirty += size;
  } else if (is_private) mss.private_clean += size;
  else mss.shared_clean += size;
}

/** fs/proc/task_mmu.c: smaps_account() */
function smaps_account(
  m: Machine,
  mss: mem_size_stats,
  page: number,
  compound: boolean,
  young: boolean,
  dirty: boolean,
  locked: boolean,
  present: boolean,
): void {
  const folio = page_folio(m, page);
  const nr = compound ? folio_nr_pages(m, folio) : 1;
  const size = nr * PAGE_SIZE;
  if (folio_test_anon(m, folio)) {
    mss.anonymous += size;
    if (!folio_test_swapbacked(m, folio) && !dirty && !folio_test_dirty(m, folio)) mss.lazyfree += size;
  }
  mss.resident += size;
  if (young || test_flags(m, folio, PG_young | PG_referenced)) mss.referenced += size;
  if (folio_ref_count(m, folio) === 1 || !present) {
    smaps_page_accumulate(m, mss, folio, size, size * PSS_ONE, dirty, locked, present);
    return;
  }
  for (let i = 0; i < nr; i++) {
    const mapcount = folio_precise_page_mapcount(m, folio, page + i);
    let pss = PAGE_SIZE * PSS_ONE;
    if (mapcount >= 2) pss = Math.floor(pss / mapcount);
    smaps_page_accumulate(m, mss, folio, PAGE_SIZE, pss, dirty, locked, mapcount < 2);
  }
}

/** fs/proc/task_mmu.c: smaps_pte_entry() */
function smaps_pte_entry(m: Machine, pte: number, addr: number, walk: mm_walk<mem_size_stats>): void {
  if (pte_none(pte)) return;
  const mss = walk.private;
  const vma = walk.vma as vm_area_struct;
  const locked = (vma.vm_flags & VM_LOCKED) !== 0;
  if (pte_present(pte)) {
    const page = vm_normal_page(m, vma, addr, pte);
    if (page !== 0) smaps_account(m, mss, page, false, pte_young(pte), pte_dirty(pte), locked, true);
    return;
  }
  const entry = softleaf_from_pte(pte);
  if (softleaf_is_swap(entry)) {
    mss.swap += PAGE_SIZE;
    mss.swap_pss += PAGE_SIZE * PSS_ONE;
  } else if (softleaf_has_pfn(entry)) {
    smaps_account(m, mss, softleaf_to_page(m, entry), false, false, false, locked, softleaf_is_device_private(entry));
  }
}

/** fs/proc/task_mmu.c: smaps_pmd_entry() */
function smaps_pmd_entry(m: Machine, pmd: number, addr: number, walk: mm_walk<mem_size_stats>): void {
  if (pmd_none(pmd)) return;
  const mss = walk.private;
  const vma = walk.vma as vm_area_struct;
  const present = pmd_present(pmd);
  let page = 0;
  if (present) page = vm_normal_page_pmd(m, vma, addr, pmd);
  else {
    const entry = softleaf_from_pmd(pmd);
    if (softleaf_has_pfn(entry)) page = softleaf_to_page(m, entry);
  }
  if (page === 0) return;
  const folio = page_folio(m, page);
  if (folio_test_anon(m, folio)) mss.anonymous_thp += HPAGE_PMD_SIZE;
  else if (folio_test_swapbacked(m, folio)) mss.shmem_thp += HPAGE_PMD_SIZE;
  else if (!folio_is_zone_device(m, folio)) mss.file_thp += HPAGE_PMD_SIZE;
  smaps_account(m, mss, page, true, pte_young(pmd), pte_dirty(pmd), (vma.vm_flags & VM_LOCKED) !== 0, present);
}

/** fs/proc/task_mmu.c: smaps_pte_range() */
function* smaps_pte_range(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  end: number,
  walk: mm_walk<mem_size_stats>,
): Gen<number> {
  const vma = walk.vma as vm_area_struct;
  if (yield* pmd_trans_huge_lock(m, pmdt, pi, vma)) {
    smaps_pmd_entry(m, pmdp_get(pmdt, pi), addr, walk);
    spin_unlock(m, pmdt.ptl);
    return 0;
  }
  const pt = yield* pte_offset_map_lock(m, vma.vm_mm, pmdt, pi, addr);
  if (pt === null) {
    walk.action = ACTION_AGAIN;
    return 0;
  }
  for (; addr !== end; addr += PAGE_SIZE) smaps_pte_entry(m, ptep_get(pt, pte_index(addr)), addr, walk);
  pte_unmap_unlock(m, pt);
  yield* cond_resched(m);
  return 0;
}

/** fs/proc/task_mmu.c: smaps_hugetlb_range() */
function* smaps_hugetlb_range(
  m: Machine,
  pt: ptdesc,
  i: number,
  _hmask: number,
  addr: number,
  _end: number,
  walk: mm_walk<mem_size_stats>,
): Gen<number> {
  const h = hstate_vma(m, walk.vma as vm_area_struct);
  const ptl = yield* huge_pte_lock(m, h, walk.mm, pt);
  const pte = huge_ptep_get(m, walk.mm, addr, pt, i);
  const present = pte_present(pte);
  let folio = 0;
  if (present) folio = page_folio(m, pfn_to_page(m, pte_pfn(pte)));
  else if (softleaf_has_pfn(softleaf_from_pte(pte))) folio = page_folio(m, softleaf_to_page(m, softleaf_from_pte(pte)));
  if (folio !== 0) {
    if (!present || folio_maybe_mapped_shared(m, folio)) walk.private.shared_hugetlb += huge_page_size(h);
    else walk.private.private_hugetlb += huge_page_size(h);
  }
  spin_unlock(m, ptl);
  return 0;
}

const smaps_walk_vma_lock_ops: mm_walk_ops<mem_size_stats> = {
  pmd_entry: smaps_pte_range,
  hugetlb_entry: smaps_hugetlb_range,
  walk_lock: PGWALK_VMA_RDLOCK_VERIFY,
};

/** Returns x in hexadecimal with leading zeroes. NON-KERNEL (upstream: seq_put_hex_ll()). */
function hex(x: number, width: number): string {
  return x.toString(16).padStart(width, '0');
}

/** fs/proc/task_mmu.c: get_vma_name() */
function get_vma_name(mm: mm_struct, vma: vm_area_struct): string {
  if (vma.vm_file !== null) return vma.vm_file.path;
  const name = vma.vm_ops?.name?.(vma);
  if (name !== undefined && name !== '') return name;
  if (vma.vm_start < mm.brk && vma.vm_end > mm.start_brk && mm.brk > mm.start_brk) return '[heap]';
  return vma.vm_flags & VM_GROWSDOWN ? '[stack]' : '';
}

/** fs/proc/task_mmu.c: show_map_vma() */
function show_map_vma(mm: mm_struct, vma: vm_area_struct): string {
  const f = vma.vm_flags;
  const perms = `${f & VM_READ ? 'r' : '-'}${f & VM_WRITE ? 'w' : '-'}${f & VM_EXEC ? 'x' : '-'}${f & VM_MAYSHARE ? 's' : 'p'}`;
  const file = vma.vm_file;
  const pgoff = file === null ? 0 : vma.vm_pgoff * PAGE_SIZE;
  // All file systems have device number 00:01 here.
  const dev = file === null ? '00:00' : '00:01';
  const line = `${hex(vma.vm_start, 8)}-${hex(vma.vm_end, 8)} ${perms} ${hex(pgoff, 8)} ${dev} ${file === null ? 0 : file.f_inode.i_ino} `;
  const name = get_vma_name(mm, vma);
  return name === '' ? `${line}\n` : `${line.padEnd(73)}${name}\n`;
}

/**
 * Returns what `show` says of each vma, one vma locked after the other (fs/proc/task_mmu.c: m_start(),
 * fs/proc/task_mmu.c: proc_get_vma()).
 */
function* for_each_vma_locked(m: Machine, mm: mm_struct, show: (vma: vm_area_struct) => Gen<string>): Gen<string> {
  let text = '';
  for (let pos = 0; ; ) {
    const vma = yield* lock_next_vma(m, mm, pos);
    if (vma === null) return text;
    pos = vma.vm_end;
    text += yield* show(vma);
    vma_end_read(m, vma);
  }
}

/** Returns the text of /proc/PID/maps (fs/proc/task_mmu.c: show_map()). */
export function* show_maps(m: Machine, mm: mm_struct): Gen<string> {
  return yield* for_each_vma_locked(m, mm, function* (vma) {
    return show_map_vma(mm, vma);
  });
}

/** fs/proc/task_mmu.c: SEQ_PUT_DEC */
function kb(label: string, bytes: number): string {
  return `${label.padEnd(16)}${String(Math.floor(bytes / 1024)).padStart(8)} kB\n`;
}

/** fs/proc/task_mmu.c: __show_smap() */
function __show_smap(mss: mem_size_stats): string {
  return (
    kb('Rss:', mss.resident) +
    kb('Pss:', mss.pss / PSS_ONE) +
    kb('Pss_Dirty:', mss.pss_dirty / PSS_ONE) +
    kb('Shared_Clean:', mss.shared_clean) +
    kb('Shared_Dirty:', mss.shared_dirty) +
    kb('Private_Clean:', mss.private_clean) +
    kb('Private_Dirty:', mss.private_dirty) +
    kb('Referenced:', mss.referenced) +
    kb('Anonymous:', mss.anonymous) +
    kb('KSM:', 0) +
    kb('LazyFree:', mss.lazyfree) +
    kb('AnonHugePages:', mss.anonymous_thp) +
    kb('ShmemPmdMapped:', mss.shmem_thp) +
    kb('FilePmdMapped:', mss.file_thp) +
    kb('Shared_Hugetlb:', mss.shared_hugetlb) +
    `Private_Hugetlb: ${String(mss.private_hugetlb / 1024).padStart(7)} kB\n` +
    kb('Swap:', mss.swap) +
    kb('SwapPss:', mss.swap_pss / PSS_ONE) +
    kb('Locked:', mss.pss_locked / PSS_ONE)
  );
}

/** two letters per bit of vm_flags (fs/proc/task_mmu.c: show_smap_vma_flags()) */
const mnemonics = [
  'rd',
  'wr',
  'ex',
  'sh',
  'mr',
  'mw',
  'me',
  'ms',
  'gd',
  'um',
  'pf',
  'gu',
  'uw',
  'lo',
  'io',
  'sr',
  'rr',
  'dc',
  'de',
  'lf',
  'ac',
  'nr',
  'ht',
  'sf',
  'sl',
  'wf',
  'dd',
  'sd',
  'mm',
  'hg',
  'nh',
  'mg',
];

/** fs/proc/task_mmu.c: show_smap_vma_flags() */
function show_smap_vma_flags(vma: vm_area_struct): string {
  let s = 'VmFlags: ';
  mnemonics.forEach((name, bit) => {
    if ((vma.vm_flags >>> bit) & 1) s += `${name} `;
  });
  return `${s}\n`;
}

/** Returns the text of /proc/PID/smaps (fs/proc/task_mmu.c: show_smap()). */
export function* show_smaps(m: Machine, mm: mm_struct): Gen<string> {
  return yield* for_each_vma_locked(m, mm, function* (vma) {
    const mss = new mem_size_stats();
    yield* walk_page_vma(m, vma, smaps_walk_vma_lock_ops, mss);
    const orders = THP_ORDERS_ALL_ANON | THP_ORDERS_ALL_SPECIAL_DAX | THP_ORDERS_ALL_FILE_DEFAULT;
    const eligible = thp_vma_allowable_orders(m, vma, vma.vm_flags, TVA_SMAPS, orders) !== 0 ? 1 : 0;
    return (
      show_map_vma(mm, vma) +
      kb('Size:', vma.vm_end - vma.vm_start) +
      kb('KernelPageSize:', vma_kernel_pagesize(m, vma)) +
      kb('MMUPageSize:', vma_kernel_pagesize(m, vma)) +
      __show_smap(mss) +
      `THPeligible:    ${String(eligible).padStart(8)}\n` +
      show_smap_vma_flags(vma)
    );
  });
}

/** Returns a line of /proc/PID/status. NON-KERNEL (upstream: SEQ_PUT_DEC). */
function pages_kb(label: string, pages: number): string {
  return `${label}:\t${String(pages * 4).padStart(8)} kB\n`;
}

/**
 * Returns the memory lines of /proc/PID/status (fs/proc/task_mmu.c: task_mem()). Leaves out high-water marks and text
 * sizes, which are not counted.
 */
export function task_mem(_m: Machine, mm: mm_struct): string {
  const anon = mm.rss_stat[MM_ANONPAGES];
  const file = mm.rss_stat[MM_FILEPAGES];
  const shmem = mm.rss_stat[MM_SHMEMPAGES];
  return (
    pages_kb('VmSize', mm.total_vm) +
    pages_kb('VmLck', mm.locked_vm) +
    pages_kb('VmPin', mm.pinned_vm) +
    pages_kb('VmRSS', anon + file + shmem) +
    pages_kb('RssAnon', anon) +
    pages_kb('RssFile', file) +
    pages_kb('RssShmem', shmem) +
    pages_kb('VmData', mm.data_vm) +
    pages_kb('VmStk', mm.stack_vm) +
    pages_kb('VmPTE', Math.floor(mm.pgtables_bytes / PAGE_SIZE)) +
    pages_kb('VmSwap', mm.rss_stat[MM_SWAPENTS]) +
    hugetlb_report_usage(mm)
  );
}
