// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  ALIGN_DOWN,
  pmd_index,
  pmd_none,
  PMD_SIZE,
  pmd_trans_huge,
  pmdp_get,
  type ptdesc,
  pte_index,
  pte_none,
  ptep_get,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EEXIST } from '../../errno.ts';
import { get_file } from '../../fs/file_table.ts';
import { address_space, type file, type inode } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { folio_add_lru, folio_put } from '../folio.ts';
import { folio_test_pmd_mappable } from '../huge_memory/sysfs.ts';
import { do_set_pmd, set_pte_range } from '../memory/file.ts';
import { pmd_install } from '../memory/pgalloc.ts';
import {
  add_mm_counter,
  FAULT_FLAG_RETRY_NOWAIT,
  mm_counter_file,
  type vm_area_struct,
  type vm_fault,
  VM_FAULT_NOPAGE,
} from '../mm_types.ts';
import { folio_test_locked, folio_test_uptodate, PG_locked } from '../page-flags.ts';
import { folio_nr_pages, folio_ref_add, folio_ref_sub, folio_size, folio_test_large, folio_try_get } from '../page.ts';
import { pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_mapped } from '../rmap/rmap.ts';
import {
  __folio_set_locked,
  fault_flag_allow_retry_first,
  folio_lock,
  folio_trylock,
  folio_unlock,
  release_fault_lock,
} from './folio_lock.ts';

/** largest order of a page cache folio (include/linux/pagemap.h: MAX_PAGECACHE_ORDER) */
const MAX_PAGECACHE_ORDER = 9;

/**
 * Returns a new page cache for the inode; its id stands in page->mapping. NON-KERNEL (include/linux/fs.h:
 * inode_init_always()).
 */
export function alloc_address_space(m: Machine, host: inode, kind: 'shmem' | 'hugetlbfs' | 'none'): address_space {
  const mapping = m.mappings.add((id) => new address_space(id, host, kind)) as address_space;
  host.i_mapping = mapping;
  return mapping;
}

/** Returns the folio at a page index, without a reference, or 0. NON-KERNEL (lib/xarray.c: xa_load()). */
export function mapping_load(m: Machine, mapping: address_space, index: number): number {
  const exact = mapping.i_pages.get(index);
  if (exact !== undefined) return exact;
  if (mapping.i_pages.size === 0 || mapping.kind === 'hugetlbfs') return 0;
  for (let order = 1; order <= MAX_PAGECACHE_ORDER; order++) {
    const base = index - (index % 2 ** order);
    if (base === index) continue;
    const folio = mapping.i_pages.get(base);
    if (folio !== undefined) return base + folio_nr_pages(m, folio) > index ? folio : 0;
  }
  return 0;
}

/** Returns the folio at a page index, with a reference, or 0 (mm/filemap.c: filemap_get_entry()). */
export function filemap_get_entry(m: Machine, mapping: address_space, index: number): number {
  const folio = mapping_load(m, mapping, index);
  return folio !== 0 && folio_try_get(m, folio) ? folio : 0;
}

/**
 * Returns the folio at a page index, locked and with a reference, or 0 (include/linux/pagemap.h: filemap_lock_folio()).
 */
export function* filemap_lock_folio(m: Machine, mapping: address_space, index: number): Gen<number> {
  for (;;) {
    const folio = filemap_get_entry(m, mapping, index);
    if (folio === 0) return 0;
    yield* folio_lock(m, folio);
    if (m.page.mapping[folio] === mapping.id * 4) return folio;
    folio_unlock(m, folio);
    folio_put(m, folio);
  }
}

/** Returns true if there is no folio in [index, index + nr). NON-KERNEL (lib/xarray.c: xa_find()). */
export function mapping_range_empty(m: Machine, mapping: address_space, index: number, nr: number): boolean {
  if (mapping.i_pages.size === 0) return true;
  if (mapping_load(m, mapping, index) !== 0) return false;
  for (let i = index + 1; i < index + nr; i++) if (mapping.i_pages.has(i)) return false;
  return true;
}

/**
 * Adds a locked folio to the page cache, which takes one reference per page. Returns 0 or -EEXIST (mm/filemap.c:
 * __filemap_add_folio()).
 */
export function __filemap_add_folio(m: Machine, mapping: address_space, folio: number, index: number): number {
  const nr = folio_nr_pages(m, folio);
  BUG_ON(!folio_test_locked(m, folio), 'mm/filemap.c: __filemap_add_folio() of an unlocked folio');
  BUG_ON(index % nr !== 0, 'mm/filemap.c: __filemap_add_folio() at an index that the folio does not fit');
  folio_ref_add(m, folio, nr);
  m.page.mapping[folio] = mapping.id * 4;
  m.page.index[folio] = index;
  if (!mapping_range_empty(m, mapping, index, nr)) {
    m.page.mapping[folio] = 0;
    folio_ref_sub(m, folio, nr);
    return -EEXIST;
  }
  mapping.i_pages.set(index, folio);
  mapping.nrpages += nr;
  return 0;
}

/**
 * Locks a new folio and adds it to the page cache and the LRU. Returns 0 or -EEXIST (mm/filemap.c:
 * filemap_add_folio()).
 */
export function filemap_add_folio(
  m: Machine,
  mapping: address_space,
  folio: number,
  index: number,
  _gfp: number,
): number {
  __folio_set_locked(m, folio);
  const ret = __filemap_add_folio(m, mapping, folio, index);
  if (ret !== 0) m.page.flags[folio] &= ~PG_locked;
  else folio_add_lru(m, folio);
  return ret;
}

/**
 * Removes a locked folio from the page cache and keeps the cache's references (mm/filemap.c: __filemap_remove_folio()).
 */
function __filemap_remove_folio(m: Machine, folio: number): void {
  const mapping = m.mappings.get(m.page.mapping[folio] >>> 2) as address_space;
  BUG_ON(folio_mapped(m, folio), 'mm/filemap.c: filemap_unaccount_folio() of a mapped folio');
  mapping.i_pages.delete(m.page.index[folio]);
  m.page.mapping[folio] = 0;
  mapping.nrpages -= folio_nr_pages(m, folio);
}

/**
 * Removes a locked folio from the page cache and drops the cache's references; the caller holds another one
 * (mm/filemap.c: filemap_remove_folio()).
 */
export function filemap_remove_folio(m: Machine, folio: number): void {
  BUG_ON(!folio_test_locked(m, folio), 'mm/filemap.c: filemap_remove_folio() of an unlocked folio');
  const nr = folio_nr_pages(m, folio);
  __filemap_remove_folio(m, folio);
  folio_ref_sub(m, folio, nr - 1);
  folio_put(m, folio);
}

/**
 * Returns the first index in [index, end] with a folio, or -1. NON-KERNEL (include/linux/xarray.h: xas_next_entry()).
 */
export function mapping_next_index(m: Machine, mapping: address_space, index: number, end: number): number {
  if (index > end || mapping.i_pages.size === 0) return -1;
  if (mapping_load(m, mapping, index) !== 0) return index;
  if (end - index < 64) {
    for (let i = index + 1; i <= end; i++) if (mapping.i_pages.has(i)) return i;
    return -1;
  }
  let best = -1;
  for (const i of mapping.i_pages.keys()) if (i > index && i <= end && (best < 0 || i < best)) best = i;
  return best;
}

/**
 * Returns the sorted indices in [index, end] of the folios now in the cache; end may be Infinity. NON-KERNEL
 * (mm/filemap.c: find_get_entries()).
 */
export function mapping_indices(mapping: address_space, index: number, end: number): number[] {
  const found: number[] = [];
  for (const i of mapping.i_pages.keys()) if (i >= index && i <= end) found.push(i);
  return found.sort((a, b) => a - b);
}

/**
 * Releases the fault's lock before a sleep if the fault may be retried. Returns the file with a reference if it did;
 * the fault must then return VM_FAULT_RETRY (mm/internal.h: maybe_unlock_mmap_for_io()).
 */
export function maybe_unlock_mmap_for_io(m: Machine, vmf: vm_fault, fpin: file | null): file | null {
  if (fpin !== null) return fpin;
  if (!fault_flag_allow_retry_first(vmf.flags) || vmf.flags & FAULT_FLAG_RETRY_NOWAIT) return null;
  const f = get_file(vmf.vma.vm_file as file);
  release_fault_lock(m, vmf);
  return f;
}

/** Returns the file's size in pages, rounded up. NON-KERNEL. */
function filemap_end(mapping: address_space): number {
  return Math.ceil(mapping.host.i_size / PAGE_SIZE);
}

/** Position of next_uptodate_folio(). NON-KERNEL (upstream: struct xa_state). */
interface cursor {
  /** index at which it found the current folio */
  index: number;
  /** index from which to search next */
  next: number;
}

/** mm/filemap.c: next_uptodate_folio() */
function next_uptodate_folio(m: Machine, cur: cursor, mapping: address_space, end_pgoff: number): number {
  for (;;) {
    const index = mapping_next_index(m, mapping, cur.next, end_pgoff);
    if (index < 0) return 0;
    const folio = mapping_load(m, mapping, index);
    cur.index = index;
    cur.next = m.page.index[folio] + folio_nr_pages(m, folio);
    if (!folio_try_get(m, folio)) continue;
    if (!folio_test_locked(m, folio) && folio_test_uptodate(m, folio) && folio_trylock(m, folio)) {
      if (m.page.mapping[folio] === mapping.id * 4 && folio_test_uptodate(m, folio) && index < filemap_end(mapping))
        return folio;
      folio_unlock(m, folio);
    }
    folio_put(m, folio);
  }
}

/** mm/internal.h: folio_within_vma() */
function folio_within_vma(m: Machine, folio: number, vma: vm_area_struct): boolean {
  const pgoff = m.page.index[folio];
  const pages = (vma.vm_end - vma.vm_start) / PAGE_SIZE;
  return pgoff >= vma.vm_pgoff && pgoff + folio_nr_pages(m, folio) <= vma.vm_pgoff + pages;
}

/** mm/filemap.c: filemap_map_pmd() */
function* filemap_map_pmd(m: Machine, vmf: vm_fault, folio: number, start: number): Gen<boolean> {
  const pmdt = vmf.pmdt as ptdesc;
  const pi = pmd_index(vmf.address);
  if (pmd_trans_huge(pmdp_get(pmdt, pi))) {
    folio_unlock(m, folio);
    folio_put(m, folio);
    return true;
  }
  if (pmd_none(pmdp_get(pmdt, pi)) && folio_test_pmd_mappable(m, folio)) {
    const page = folio + (start - m.page.index[folio]);
    const ret = yield* do_set_pmd(m, vmf, folio, page);
    if (ret === 0) {
      folio_unlock(m, folio);
      return true;
    }
  }
  if (pmd_none(pmdp_get(pmdt, pi)) && vmf.prealloc_pte !== null) {
    if (yield* pmd_install(m, vmf.vma.vm_mm, pmdt, pi, vmf.prealloc_pte)) vmf.prealloc_pte = null;
  }
  return false;
}

/** Results of mapping one folio: VM_FAULT_* and the number of pages mapped. NON-KERNEL. */
interface mapped {
  ret: number;
  rss: number;
}

/** Leaves out read-ahead bookkeeping: nothing is read ahead (mm/filemap.c: filemap_map_folio_range()). */
function filemap_map_folio_range(
  m: Machine,
  vmf: vm_fault,
  folio: number,
  start: number,
  addr: number,
  nr_pages: number,
  out: mapped,
  file_end: number,
): void {
  const pt = vmf.pte as ptdesc;
  const mapping = m.mappings.get(m.page.mapping[folio] >>> 2) as address_space;
  const addr0 = addr - start * PAGE_SIZE;
  const next = m.page.index[folio] + folio_nr_pages(m, folio);
  let page = folio + start;
  if (
    (file_end >= next || mapping.kind === 'shmem') &&
    folio_within_vma(m, folio, vmf.vma) &&
    ALIGN_DOWN(addr0, PMD_SIZE) === ALIGN_DOWN(addr0 + folio_size(m, folio) - 1, PMD_SIZE)
  ) {
    page = folio;
    addr = addr0;
    nr_pages = folio_nr_pages(m, folio);
  }
  let ref_from_caller = 1;
  let at = 0;
  while (at < nr_pages) {
    const first = pte_index(addr + at * PAGE_SIZE);
    let count = 0;
    while (at + count < nr_pages && pte_none(ptep_get(pt, first + count))) count++;
    if (count > 0) {
      const a = addr + at * PAGE_SIZE;
      set_pte_range(m, vmf, folio, page + at, count, a);
      out.rss += count;
      folio_ref_add(m, folio, count - ref_from_caller);
      ref_from_caller = 0;
      if (vmf.address >= a && vmf.address < a + count * PAGE_SIZE) out.ret |= VM_FAULT_NOPAGE;
    }
    at += count + 1;
  }
  if (ref_from_caller) folio_ref_sub(m, folio, 1);
}

/** Leaves out read-ahead bookkeeping: nothing is read ahead (mm/filemap.c: filemap_map_order0_folio()). */
function filemap_map_order0_folio(m: Machine, vmf: vm_fault, folio: number, addr: number, out: mapped): void {
  const pt = vmf.pte as ptdesc;
  if (!pte_none(ptep_get(pt, pte_index(addr)))) {
    folio_ref_sub(m, folio, 1);
    return;
  }
  if (vmf.address === addr) out.ret |= VM_FAULT_NOPAGE;
  set_pte_range(m, vmf, folio, folio, 1, addr);
  out.rss++;
}

/**
 * Maps the cached pages of [start_pgoff, end_pgoff] that are uptodate and not locked. Returns VM_FAULT_NOPAGE if the
 * faulting page is among them (mm/filemap.c: filemap_map_pages()). Leaves out read-ahead bookkeeping.
 */
export function* filemap_map_pages(m: Machine, vmf: vm_fault, start_pgoff: number, end_pgoff: number): Gen<number> {
  const vma = vmf.vma;
  const mapping = vma.vm_file?.f_mapping as address_space;
  const file_end = filemap_end(mapping) - 1;
  end_pgoff = Math.min(end_pgoff, file_end);
  if (m.sched.explore) yield* preempt_point(m, 'filemap_map_pages');
  const cur: cursor = { index: start_pgoff, next: start_pgoff };
  let folio = next_uptodate_folio(m, cur, mapping, end_pgoff);
  if (folio === 0) return 0;
  const next = m.page.index[folio] + folio_nr_pages(m, folio);
  if ((file_end >= next || mapping.kind === 'shmem') && (yield* filemap_map_pmd(m, vmf, folio, start_pgoff)))
    return VM_FAULT_NOPAGE;
  const addr = vma.vm_start + (start_pgoff - vma.vm_pgoff) * PAGE_SIZE;
  const pmdt = vmf.pmdt as ptdesc;
  const pt = yield* pte_offset_map_lock(m, vma.vm_mm, pmdt, pmd_index(addr), addr);
  if (pt === null) {
    folio_unlock(m, folio);
    folio_put(m, folio);
    return 0;
  }
  vmf.pte = pt;
  const folio_type = mm_counter_file(m, folio);
  const out: mapped = { ret: 0, rss: 0 };
  do {
    const a = addr + (cur.index - start_pgoff) * PAGE_SIZE;
    if (!folio_test_large(m, folio)) filemap_map_order0_folio(m, vmf, folio, a, out);
    else {
      const end = cur.next - 1;
      const nr_pages = Math.min(end, end_pgoff) - cur.index + 1;
      filemap_map_folio_range(m, vmf, folio, cur.index - m.page.index[folio], a, nr_pages, out, file_end);
    }
    folio_unlock(m, folio);
    folio = next_uptodate_folio(m, cur, mapping, end_pgoff);
  } while (folio !== 0);
  add_mm_counter(vma.vm_mm, folio_type, out.rss);
  pte_unmap_unlock(m, pt);
  vmf.pte = null;
  return out.ret;
}

/** Removes a shared writable mapping from the count (include/linux/fs.h: mapping_unmap_writable()). */
export function mapping_unmap_writable(mapping: address_space): void {
  mapping.i_mmap_writable--;
}

/** Counts a shared writable mapping; nothing denies it here (include/linux/fs.h: mapping_map_writable()). */
export function mapping_map_writable(mapping: address_space): number {
  mapping.i_mmap_writable++;
  return 0;
}

/** mapping_map_writable() for one that cannot be denied (include/linux/fs.h: mapping_allow_writable()). */
export function mapping_allow_writable(mapping: address_space): void {
  mapping.i_mmap_writable++;
}
