// SPDX-License-Identifier: GPL-2.0-only

import { pud_table } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, type ptdesc, pud_index } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EBUSY, EFAULT } from '../../errno.ts';
import { BUG_ON, Oops, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { deferred_split_folio } from '../huge_memory/deferred_split.ts';
import { mod_mthp_stat, MTHP_STAT_NR_ANON } from '../huge_memory/sysfs.ts';
import { folio_is_device_private, MEMORY_DEVICE_PRIVATE } from '../memremap.ts';
import { type anon_vma, type mm_struct, MMF_HAS_PINNED, type vm_area_struct } from '../mm_types.ts';
import {
  folio_test_locked,
  folio_test_partially_mapped,
  PageAnonExclusive,
  PG_anon_exclusive,
  PG_head,
  PG_private,
  PG_swapbacked,
  PG_swapcache,
} from '../page-flags.ts';
import {
  FOLIO_MAPPING_ANON,
  FOLIO_MAPPING_FLAGS,
  folio_nr_pages,
  folio_order,
  folio_test_anon,
  folio_test_hugetlb,
  folio_test_large,
  large,
  type large_folio,
  PGTY_hugetlb,
  PGTY_none,
  ZONE_DEVICE,
} from '../page.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_anon_vma, folio_mapping } from '../util.ts';
import { linear_anon_page_index } from '../vma/vma.ts';

// rmap_t (include/linux/rmap.h)
export const RMAP_NONE = 0;
export const RMAP_EXCLUSIVE = 1;
/** References that one pin of a small folio counts for (include/linux/mm.h). */
export const GUP_PIN_COUNTING_BIAS = 1024;
/** What one pmd mapping adds to _nr_pages_mapped (mm/internal.h). */
const ENTIRELY_MAPPED = 0x800000;
const FOLIO_PAGES_MAPPED = ENTIRELY_MAPPED - 1;
const MM_ID_DUMMY = 0;

/** Warns about a failed sanity check. NON-KERNEL: upstream's VM_WARN_ON_FOLIO(). */
function warn(m: Machine, fn: string, what: string): void {
  WARN_ON(m, true, fn, what);
}

/** Returns the number of mappings of the large folio, of any size (include/linux/mm.h: folio_large_mapcount()). */
export function folio_large_mapcount(m: Machine, folio: number): number {
  return large(m, folio)._large_mapcount + 1;
}

/** Returns the number of mappings of the entire large folio (include/linux/mm.h: folio_entire_mapcount()). */
export function folio_entire_mapcount(m: Machine, folio: number): number {
  return large(m, folio)._entire_mapcount + 1;
}

/**
 * Returns the number of page table entries that map the folio or a part of it (include/linux/mm.h: folio_mapcount()).
 */
export function folio_mapcount(m: Machine, folio: number): number {
  const p = m.page;
  if (p.flags[folio] & PG_head) return large(m, folio)._large_mapcount + 1;
  return p._mapcount[folio] + 1;
}

/** Returns true if any page table entry maps the folio or a part of it (include/linux/mm.h: folio_mapped()). */
export function folio_mapped(m: Machine, folio: number): boolean {
  return folio_mapcount(m, folio) >= 1;
}

/**
 * Returns the number of mappings of this page, including those of the entire folio (fs/proc/internal.h:
 * folio_precise_page_mapcount()).
 */
export function folio_precise_page_mapcount(m: Machine, folio: number, page: number): number {
  let mapcount = m.page._mapcount[page] + 1;
  if (folio_test_large(m, folio)) mapcount += folio_entire_mapcount(m, folio);
  return mapcount;
}

/** Returns false only if all mappings certainly belong to one mm (include/linux/mm.h: folio_maybe_mapped_shared()). */
export function folio_maybe_mapped_shared(m: Machine, folio: number): boolean {
  const mapcount = folio_mapcount(m, folio);
  if (!folio_test_large(m, folio) || folio_test_hugetlb(m, folio)) return mapcount > 1;
  if (mapcount <= 1) return false;
  return large(m, folio).maybe_mapped_shared;
}

/**
 * Returns true if the folio may be pinned: exact for large folios, judged by the refcount for small ones
 * (include/linux/mm.h: folio_maybe_dma_pinned()).
 */
export function folio_maybe_dma_pinned(m: Machine, folio: number): boolean {
  if (folio_test_large(m, folio)) return large(m, folio)._pincount > 0;
  return m.page._refcount[folio] >>> 0 >= GUP_PIN_COUNTING_BIAS;
}

/**
 * Returns true if fork has to copy the folio because it may be pinned (include/linux/mm.h: folio_needs_cow_for_dma()).
 */
function folio_needs_cow_for_dma(m: Machine, vma: vm_area_struct, folio: number): boolean {
  BUG_ON((vma.vm_mm.write_protect_seq & 1) === 0, 'include/linux/mm.h: folio_needs_cow_for_dma() outside of fork');
  if ((vma.vm_mm.flags & MMF_HAS_PINNED) === 0) return false;
  return folio_maybe_dma_pinned(m, folio);
}

/**
 * Returns the references of the page cache, PG_private and the mappings (include/linux/mm.h:
 * folio_expected_ref_count()).
 */
export function folio_expected_ref_count(m: Machine, folio: number): number {
  const p = m.page;
  const type = p.page_type[folio];
  if (WARN_ON_ONCE(m, type !== PGTY_none && type !== PGTY_hugetlb, 'folio_expected_ref_count')) return 0;
  const flags = p.flags[folio];
  const order = flags & PG_head ? p.order[folio] : 0;
  let ref_count = flags & PG_swapcache ? 1 << order : 0;
  const mapping = p.mapping[folio];
  if ((mapping & FOLIO_MAPPING_ANON) === 0) {
    if (mapping !== 0) ref_count += 1 << order;
    if (flags & PG_private) ref_count++;
  }
  return ref_count + folio_mapcount(m, folio);
}

/** Returns the page offset of the folio in its object (include/linux/pagemap.h: folio_pgoff()). */
export function folio_pgoff(m: Machine, folio: number): number {
  return m.page.index[folio];
}

/** Returns the page offset of a page in the folio's object (include/linux/pagemap.h: page_pgoff()). */
export function page_pgoff(m: Machine, folio: number, page: number): number {
  return m.page.index[folio] + (page - folio);
}

/**
 * Returns the first address of the pages in a vma that starts at pgoff_start, or -EFAULT (mm/internal.h:
 * __vma_address()).
 */
function __vma_address(vma: vm_area_struct, pgoff: number, pgoff_start: number, nr_pages: number): number {
  if (pgoff >= pgoff_start) {
    const address = vma.vm_start + (pgoff - pgoff_start) * PAGE_SIZE;
    return address >= vma.vm_end ? -EFAULT : address;
  }
  if (pgoff + nr_pages - 1 >= pgoff_start) return vma.vm_start;
  return -EFAULT;
}

/**
 * Returns the first address at which the vma can map any of these file pages, or -EFAULT (mm/internal.h:
 * vma_filebacked_address()).
 */
export function vma_filebacked_address(vma: vm_area_struct, pgoff: number, nr_pages: number): number {
  return __vma_address(vma, pgoff, vma.vm_pgoff, nr_pages);
}

/**
 * Returns the first address at which the vma can map any of these anonymous pages, or -EFAULT (mm/internal.h:
 * vma_anon_address()).
 */
export function vma_anon_address(vma: vm_area_struct, pgoff: number, nr_pages: number): number {
  return __vma_address(vma, pgoff, vma.vm_anon_pgoff, nr_pages);
}

/** Returns the address at which the vma would map the page, or -EFAULT (mm/rmap.c: page_address_in_vma()). */
export function page_address_in_vma(m: Machine, folio: number, page: number, vma: vm_area_struct): number {
  const pgoff = page_pgoff(m, folio, page);
  if (folio_test_anon(m, folio)) {
    const av = folio_anon_vma(m, folio);
    if (vma.anon_vma === null || av === null || vma.anon_vma.root !== av.root) return -EFAULT;
    return vma_anon_address(vma, pgoff, 1);
  }
  if (vma.vm_file === null || folio_mapping(m, folio) === null) return -EFAULT;
  if (vma.vm_file.f_mapping !== folio_mapping(m, folio)) return -EFAULT;
  return vma_filebacked_address(vma, pgoff, 1);
}

/** Warns about inconsistent mapcounts (include/linux/rmap.h: __folio_large_mapcount_sanity_checks()). */
function __folio_large_mapcount_sanity_checks(
  m: Machine,
  folio: number,
  l: large_folio,
  diff: number,
  mm_id: number,
): void {
  const fn = '__folio_large_mapcount_sanity_checks';
  WARN_ON_ONCE(m, m.page.page_type[folio] === PGTY_hugetlb, fn, 'hugetlb');
  WARN_ON_ONCE(m, diff <= 0, fn, 'diff');
  WARN_ON_ONCE(m, mm_id <= MM_ID_DUMMY, fn, 'mm_id');
  WARN_ON_ONCE(m, diff > folio_nr_pages(m, folio), fn, 'nr_pages');
  for (let i = 0; i < 2; i++) {
    const id = l._mm_id[i];
    const n = l._mm_id_mapcount[i];
    WARN_ON_ONCE(m, id === MM_ID_DUMMY && n !== -1, fn, 'free slot');
    WARN_ON_ONCE(m, id !== MM_ID_DUMMY && n < 0, fn, 'used slot');
  }
  WARN_ON_ONCE(m, l._large_mapcount < 0 && l.maybe_mapped_shared, fn, 'shared');
}

/** Sets the mapcount of a folio that was not mapped (include/linux/rmap.h: folio_set_large_mapcount()). */
function folio_set_large_mapcount(m: Machine, folio: number, mapcount: number, vma: vm_area_struct): void {
  const l = large(m, folio);
  const mm_id = vma.vm_mm.mm_id;
  __folio_large_mapcount_sanity_checks(m, folio, l, mapcount, mm_id);
  WARN_ON_ONCE(m, l._mm_id[0] !== MM_ID_DUMMY, 'folio_set_large_mapcount', '0');
  WARN_ON_ONCE(m, l._mm_id[1] !== MM_ID_DUMMY, 'folio_set_large_mapcount', '1');
  l._large_mapcount = mapcount - 1;
  l._mm_id_mapcount[0] = mapcount - 1;
  l._mm_id[0] = mm_id;
}

/**
 * Adds mappings of the vma's mm. Returns the new mapcount (include/linux/rmap.h: folio_add_return_large_mapcount()).
 */
function folio_add_return_large_mapcount(m: Machine, folio: number, diff: number, vma: vm_area_struct): number {
  const l = large(m, folio);
  const mm_id = vma.vm_mm.mm_id;
  __folio_large_mapcount_sanity_checks(m, folio, l, diff, mm_id);
  const new_mapcount_val = l._large_mapcount + diff;
  l._large_mapcount = new_mapcount_val;
  if (l._mm_id[0] === mm_id) l._mm_id_mapcount[0] += diff;
  else if (l._mm_id[1] === mm_id) l._mm_id_mapcount[1] += diff;
  else if (l._mm_id[0] === MM_ID_DUMMY) {
    l._mm_id[0] = mm_id;
    l._mm_id_mapcount[0] = diff - 1;
    if (new_mapcount_val !== diff - 1) l.maybe_mapped_shared = true;
  } else if (l._mm_id[1] === MM_ID_DUMMY) {
    l._mm_id[1] = mm_id;
    l._mm_id_mapcount[1] = diff - 1;
    l.maybe_mapped_shared = true;
  }
  return new_mapcount_val + 1;
}

/**
 * Removes mappings of the vma's mm. Returns the new mapcount (include/linux/rmap.h: folio_sub_return_large_mapcount()).
 */
function folio_sub_return_large_mapcount(m: Machine, folio: number, diff: number, vma: vm_area_struct): number {
  const l = large(m, folio);
  const mm_id = vma.vm_mm.mm_id;
  __folio_large_mapcount_sanity_checks(m, folio, l, diff, mm_id);
  const new_mapcount_val = l._large_mapcount - diff;
  l._large_mapcount = new_mapcount_val;
  const slot = l._mm_id[0] === mm_id ? 0 : l._mm_id[1] === mm_id ? 1 : null;
  if (slot !== null) {
    // An mm that found no free slot at first has fewer mappings counted than it removes.
    const left = l._mm_id_mapcount[slot] - diff;
    if (left >= 0) {
      l._mm_id_mapcount[slot] = left;
      return new_mapcount_val + 1;
    }
    l._mm_id_mapcount[slot] = -1;
    l._mm_id[slot] = MM_ID_DUMMY;
  }
  if (l._mm_id_mapcount[0] === new_mapcount_val || l._mm_id_mapcount[1] === new_mapcount_val)
    l.maybe_mapped_shared = false;
  return new_mapcount_val + 1;
}

/** Warns if the pages do not fit the folio (include/linux/rmap.h: __folio_rmap_sanity_checks()). */
function __folio_rmap_sanity_checks(m: Machine, folio: number, page: number, nr_pages: number, pmd: boolean): void {
  const p = m.page;
  const fn = '__folio_rmap_sanity_checks';
  if (p.page_type[folio] === PGTY_hugetlb) warn(m, fn, 'hugetlb');
  if (folio === m.zero_page) warn(m, fn, 'zero folio');
  if (nr_pages <= 0) warn(m, fn, 'nr_pages');
  const last = page + nr_pages - 1;
  if ((p.compound_head[page] || page) !== folio || (p.compound_head[last] || last) !== folio)
    warn(m, fn, 'page outside of the folio');
  if (pmd && (folio_nr_pages(m, folio) !== HPAGE_PMD_NR || nr_pages !== HPAGE_PMD_NR)) warn(m, fn, 'not PMD sized');
  const mapping = p.mapping[folio];
  if ((mapping & FOLIO_MAPPING_FLAGS) === FOLIO_MAPPING_ANON) {
    const av = m.mappings.get(mapping >> 2) as anon_vma | null;
    if (av === null || av.refcount === 0) warn(m, fn, 'anon_vma is free');
  }
}

/** Adds mappings to the mapcounts (mm/rmap.c: __folio_add_rmap()). */
function __folio_add_rmap(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
  pmd: boolean,
): void {
  const p = m.page;
  __folio_rmap_sanity_checks(m, folio, page, nr_pages, pmd);
  if (!pmd) {
    if ((p.flags[folio] & PG_head) === 0) {
      p._mapcount[folio]++;
      return;
    }
    let first = 0;
    for (let i = page; i < page + nr_pages; i++) if (++p._mapcount[i] === 0) first++;
    large(m, folio)._nr_pages_mapped += first;
    folio_add_return_large_mapcount(m, folio, nr_pages, vma);
    return;
  }
  const l = large(m, folio);
  if (++l._entire_mapcount === 0) l._nr_pages_mapped += ENTIRELY_MAPPED;
  folio_add_return_large_mapcount(m, folio, 1, vma);
}

/** Moves the folio to the vma's own anon_vma; the folio is locked (mm/rmap.c: folio_move_anon_rmap()). */
export function folio_move_anon_rmap(m: Machine, folio: number, vma: vm_area_struct): void {
  BUG_ON(!folio_test_locked(m, folio), 'mm/rmap.c: folio_move_anon_rmap() of an unlocked folio');
  const av = vma.anon_vma;
  BUG_ON(av === null, 'mm/rmap.c: folio_move_anon_rmap() to a vma without anon_vma');
  m.page.mapping[folio] = ((av as anon_vma).id << 2) | FOLIO_MAPPING_ANON;
}

/** Makes the folio anonymous memory of the vma (mm/rmap.c: __folio_set_anon()). */
function __folio_set_anon(m: Machine, folio: number, vma: vm_area_struct, address: number, exclusive: boolean): void {
  const own = vma.anon_vma;
  BUG_ON(own === null, 'mm/rmap.c: __folio_set_anon() of a vma without anon_vma');
  if (folio_test_anon(m, folio) && m.patch.device_page_keeps_mapping) return;
  const av = exclusive ? (own as anon_vma) : (own as anon_vma).root;
  m.page.mapping[folio] = (av.id << 2) | FOLIO_MAPPING_ANON;
  m.page.index[folio] = linear_anon_page_index(vma, address);
}

/** Checks that the folio belongs to the vma's anon_vma tree at this address (mm/rmap.c: __page_check_anon_rmap()). */
function __page_check_anon_rmap(m: Machine, folio: number, page: number, vma: vm_area_struct, address: number): void {
  const av = folio_anon_vma(m, folio);
  BUG_ON(
    av === null || vma.anon_vma === null || av.root !== vma.anon_vma.root,
    'mm/rmap.c: __page_check_anon_rmap(): folio and vma have different anon_vma roots',
  );
  BUG_ON(
    page_pgoff(m, folio, page) !== linear_anon_page_index(vma, address),
    'mm/rmap.c: __page_check_anon_rmap(): the index does not fit the address',
  );
}

/**
 * Updates the lruvec's statistics (include/linux/vmstat.h: lruvec_stat_mod_folio()). Leaves out the counters; only
 * their lookup is visible: device memory may have node -1, which has none.
 */
function lruvec_stat_mod_folio(m: Machine, folio: number): void {
  const { zone, pgmap } = m.page;
  if (zone[folio] !== ZONE_DEVICE || (m.pgmaps.get(pgmap[folio])?.nid ?? 0) >= 0) return;
  throw new Oops('BUG: kernel NULL pointer dereference, address: 0000000000000000');
}

/** Adds mappings of an anonymous folio (mm/rmap.c: __folio_add_anon_rmap()). */
function __folio_add_anon_rmap(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
  pmd: boolean,
): void {
  const p = m.page;
  const fn = '__folio_add_anon_rmap';
  if (!folio_test_anon(m, folio)) warn(m, fn, 'not anonymous');
  __folio_add_rmap(m, folio, page, nr_pages, vma, pmd);
  lruvec_stat_mod_folio(m, folio);
  __page_check_anon_rmap(m, folio, page, vma, address);
  if (flags & RMAP_EXCLUSIVE) {
    const n = pmd ? 1 : nr_pages;
    for (let i = page; i < page + n; i++) p.flags[i] |= PG_anon_exclusive;
  }
  const is_large = folio_test_large(m, folio);
  const entire = is_large && large(m, folio)._entire_mapcount > 0;
  for (let i = page; i < page + nr_pages; i++) {
    if ((p.flags[i] & PG_anon_exclusive) === 0) continue;
    if (entire) warn(m, fn, 'exclusive page of a folio with several whole mappings');
    if (p._mapcount[i] > 0) warn(m, fn, 'exclusive page with several mappings');
  }
}

/**
 * Adds pte mappings of consecutive pages of an anonymous folio; RMAP_EXCLUSIVE sets PageAnonExclusive (mm/rmap.c:
 * folio_add_anon_rmap_ptes()).
 */
export function folio_add_anon_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  __folio_add_anon_rmap(m, folio, page, nr_pages, vma, address, flags, false);
}

/** Adds one pte mapping of a page of an anonymous folio (include/linux/rmap.h: folio_add_anon_rmap_pte()). */
export function folio_add_anon_rmap_pte(
  m: Machine,
  folio: number,
  page: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  __folio_add_anon_rmap(m, folio, page, 1, vma, address, flags, false);
}

/** Adds a pmd mapping of an anonymous folio (mm/rmap.c: folio_add_anon_rmap_pmd()). */
export function folio_add_anon_rmap_pmd(
  m: Machine,
  folio: number,
  page: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  __folio_add_anon_rmap(m, folio, page, HPAGE_PMD_NR, vma, address, flags, true);
}

/**
 * Makes a new folio anonymous memory of the vma and adds its first mapping, by a pmd if it is PMD-sized, else by ptes
 * (mm/rmap.c: folio_add_new_anon_rmap()). Leaves out droppable memory: MAP_DROPPABLE is Unmodelled.
 */
export function folio_add_new_anon_rmap(
  m: Machine,
  folio: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  const p = m.page;
  const fn = 'folio_add_new_anon_rmap';
  const exclusive = (flags & RMAP_EXCLUSIVE) !== 0;
  if (p.page_type[folio] === PGTY_hugetlb) warn(m, fn, 'hugetlb');
  if (!exclusive && !folio_test_locked(m, folio)) warn(m, fn, 'shared folio is not locked');
  p.flags[folio] |= PG_swapbacked;
  __folio_set_anon(m, folio, vma, address, exclusive);
  lruvec_stat_mod_folio(m, folio);
  let nr = 1;
  if (!folio_test_large(m, folio)) {
    p._mapcount[folio] = 0;
    if (exclusive) p.flags[folio] |= PG_anon_exclusive;
  } else if (folio_order(m, folio) < HPAGE_PMD_ORDER) {
    nr = folio_nr_pages(m, folio);
    p._mapcount.fill(0, folio, folio + nr);
    if (exclusive) for (let i = folio; i < folio + nr; i++) p.flags[i] |= PG_anon_exclusive;
    folio_set_large_mapcount(m, folio, nr, vma);
    large(m, folio)._nr_pages_mapped = nr;
  } else {
    nr = folio_nr_pages(m, folio);
    const l = large(m, folio);
    l._entire_mapcount = 0;
    folio_set_large_mapcount(m, folio, 1, vma);
    l._nr_pages_mapped = ENTIRELY_MAPPED;
    if (exclusive) p.flags[folio] |= PG_anon_exclusive;
  }
  WARN_ON_ONCE(m, address < vma.vm_start || address + nr * PAGE_SIZE > vma.vm_end, fn, 'address');
  if (nr > 1) mod_mthp_stat(m, folio_order(m, folio), MTHP_STAT_NR_ANON, 1);
}

/**
 * Adds mappings of a file folio (mm/rmap.c: __folio_add_file_rmap()). Leaves out NR_FILE_MAPPED, which no modelled
 * file shows.
 */
function __folio_add_file_rmap(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
  pmd: boolean,
): void {
  if (folio_test_anon(m, folio)) warn(m, '__folio_add_file_rmap', 'anonymous');
  __folio_add_rmap(m, folio, page, nr_pages, vma, pmd);
}

/** Adds pte mappings of consecutive pages of a file folio (mm/rmap.c: folio_add_file_rmap_ptes()). */
export function folio_add_file_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
): void {
  __folio_add_file_rmap(m, folio, page, nr_pages, vma, false);
}

/** Adds a pte mapping of a page of a file folio (include/linux/rmap.h: folio_add_file_rmap_pte()). */
export function folio_add_file_rmap_pte(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_add_file_rmap(m, folio, page, 1, vma, false);
}

/** Adds a pmd mapping of a file folio (mm/rmap.c: folio_add_file_rmap_pmd()). */
export function folio_add_file_rmap_pmd(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_add_file_rmap(m, folio, page, HPAGE_PMD_NR, vma, true);
}

/**
 * Removes mappings; queues a folio for deferred split that becomes partially mapped (mm/rmap.c: __folio_remove_rmap()).
 */
function __folio_remove_rmap(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
  pmd: boolean,
): void {
  const p = m.page;
  __folio_rmap_sanity_checks(m, folio, page, nr_pages, pmd);
  let partially_mapped = false;
  if (!pmd) {
    if ((p.flags[folio] & PG_head) === 0) {
      p._mapcount[folio]--;
      return;
    }
    const l = large(m, folio);
    folio_sub_return_large_mapcount(m, folio, nr_pages, vma);
    let last = 0;
    for (let i = page; i < page + nr_pages; i++) if (--p._mapcount[i] < 0) last++;
    l._nr_pages_mapped -= last;
    partially_mapped = last > 0 && l._nr_pages_mapped < ENTIRELY_MAPPED && l._nr_pages_mapped !== 0;
  } else {
    const l = large(m, folio);
    folio_sub_return_large_mapcount(m, folio, 1, vma);
    if (--l._entire_mapcount < 0) {
      l._nr_pages_mapped -= ENTIRELY_MAPPED;
      const nr_pmdmapped = folio_nr_pages(m, folio);
      const nr =
        l._nr_pages_mapped < ENTIRELY_MAPPED
          ? Math.max(0, nr_pmdmapped - (l._nr_pages_mapped & FOLIO_PAGES_MAPPED))
          : 0;
      partially_mapped = nr !== 0 && nr < nr_pmdmapped;
    }
  }
  if (
    partially_mapped &&
    folio_test_anon(m, folio) &&
    !folio_test_partially_mapped(m, folio) &&
    !folio_is_device_private(m, folio)
  ) {
    deferred_split_folio(m, folio, true);
  }
}

/** Removes pte mappings of consecutive pages of a folio (mm/rmap.c: folio_remove_rmap_ptes()). */
export function folio_remove_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
): void {
  __folio_remove_rmap(m, folio, page, nr_pages, vma, false);
}

/** Removes a pte mapping of a page (include/linux/rmap.h: folio_remove_rmap_pte()). */
export function folio_remove_rmap_pte(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_remove_rmap(m, folio, page, 1, vma, false);
}

/** Removes a pmd mapping of a folio (mm/rmap.c: folio_remove_rmap_pmd()). */
export function folio_remove_rmap_pmd(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_remove_rmap(m, folio, page, HPAGE_PMD_NR, vma, true);
}

/** Duplicates mappings of a file folio for a child (include/linux/rmap.h: __folio_dup_file_rmap()). */
function __folio_dup_file_rmap(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  dst_vma: vm_area_struct,
  pmd: boolean,
): void {
  const p = m.page;
  __folio_rmap_sanity_checks(m, folio, page, nr_pages, pmd);
  if (pmd) {
    large(m, folio)._entire_mapcount++;
    folio_add_return_large_mapcount(m, folio, 1, dst_vma);
  } else if (!folio_test_large(m, folio)) {
    p._mapcount[folio]++;
  } else {
    for (let i = page; i < page + nr_pages; i++) p._mapcount[i]++;
    folio_add_return_large_mapcount(m, folio, nr_pages, dst_vma);
  }
}

/** Duplicates pte mappings of a file folio for a child (include/linux/rmap.h: folio_dup_file_rmap_ptes()). */
export function folio_dup_file_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  dst_vma: vm_area_struct,
): void {
  __folio_dup_file_rmap(m, folio, page, nr_pages, dst_vma, false);
}

/** Duplicates a pte mapping of a file folio for a child (include/linux/rmap.h: folio_dup_file_rmap_pte()). */
export function folio_dup_file_rmap_pte(m: Machine, folio: number, page: number, dst_vma: vm_area_struct): void {
  __folio_dup_file_rmap(m, folio, page, 1, dst_vma, false);
}

/**
 * Duplicates mappings of an anonymous folio for a child. Returns 0, or -EBUSY if the folio may be pinned
 * (include/linux/rmap.h: __folio_try_dup_anon_rmap()).
 */
function __folio_try_dup_anon_rmap(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  pmd: boolean,
): number {
  const p = m.page;
  if (!folio_test_anon(m, folio)) warn(m, '__folio_try_dup_anon_rmap', 'not anonymous');
  __folio_rmap_sanity_checks(m, folio, page, nr_pages, pmd);
  const maybe_pinned = !folio_is_device_private(m, folio) && folio_needs_cow_for_dma(m, src_vma, folio);
  if (pmd) {
    if (p.flags[page] & PG_anon_exclusive) {
      if (maybe_pinned) return -EBUSY;
      p.flags[page] &= ~PG_anon_exclusive;
    }
    large(m, folio)._entire_mapcount++;
    folio_add_return_large_mapcount(m, folio, 1, dst_vma);
    return 0;
  }
  if (maybe_pinned) for (let i = page; i < page + nr_pages; i++) if (p.flags[i] & PG_anon_exclusive) return -EBUSY;
  for (let i = page; i < page + nr_pages; i++) {
    p.flags[i] &= ~PG_anon_exclusive;
    p._mapcount[i]++;
  }
  if (folio_test_large(m, folio)) folio_add_return_large_mapcount(m, folio, nr_pages, dst_vma);
  return 0;
}

/**
 * Duplicates pte mappings of an anonymous folio for a child. Returns 0, or -EBUSY if the pages may be pinned and have
 * to be copied (include/linux/rmap.h: folio_try_dup_anon_rmap_ptes()).
 */
export function folio_try_dup_anon_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): number {
  return __folio_try_dup_anon_rmap(m, folio, page, nr_pages, dst_vma, src_vma, false);
}

/** Duplicates a pte mapping of an anonymous folio for a child (include/linux/rmap.h: folio_try_dup_anon_rmap_pte()). */
export function folio_try_dup_anon_rmap_pte(
  m: Machine,
  folio: number,
  page: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): number {
  return __folio_try_dup_anon_rmap(m, folio, page, 1, dst_vma, src_vma, false);
}

/** Duplicates a pmd mapping of an anonymous folio for a child (include/linux/rmap.h: folio_try_dup_anon_rmap_pmd()). */
export function folio_try_dup_anon_rmap_pmd(
  m: Machine,
  folio: number,
  page: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): number {
  return __folio_try_dup_anon_rmap(m, folio, page, HPAGE_PMD_NR, dst_vma, src_vma, true);
}

/**
 * Clears PageAnonExclusive. Returns 0, or -EBUSY if the folio may be pinned (include/linux/rmap.h:
 * __folio_try_share_anon_rmap()).
 */
function __folio_try_share_anon_rmap(m: Machine, folio: number, page: number, nr_pages: number, pmd: boolean): number {
  const p = m.page;
  const fn = '__folio_try_share_anon_rmap';
  if (!folio_test_anon(m, folio)) warn(m, fn, 'not anonymous');
  if (!PageAnonExclusive(m, page)) warn(m, fn, 'not exclusive');
  __folio_rmap_sanity_checks(m, folio, page, nr_pages, pmd);
  const device_private = p.zone[folio] === ZONE_DEVICE && m.pgmaps.get(p.pgmap[folio])?.type === MEMORY_DEVICE_PRIVATE;
  if (!device_private && folio_maybe_dma_pinned(m, folio)) return -EBUSY;
  p.flags[page] &= ~PG_anon_exclusive;
  return 0;
}

/**
 * Clears PageAnonExclusive before a cleared pte is replaced by a migration or swap entry. Returns 0, or -EBUSY if the
 * page may be pinned (include/linux/rmap.h: folio_try_share_anon_rmap_pte()).
 */
export function folio_try_share_anon_rmap_pte(m: Machine, folio: number, page: number): number {
  return __folio_try_share_anon_rmap(m, folio, page, 1, false);
}

/** Clears PageAnonExclusive for a pmd mapping (include/linux/rmap.h: folio_try_share_anon_rmap_pmd()). */
export function folio_try_share_anon_rmap_pmd(m: Machine, folio: number, page: number): number {
  return __folio_try_share_anon_rmap(m, folio, page, HPAGE_PMD_NR, true);
}

/** Adds a mapping of an anonymous hugetlb folio (mm/rmap.c: hugetlb_add_anon_rmap()). */
export function hugetlb_add_anon_rmap(
  m: Machine,
  folio: number,
  vma: vm_area_struct,
  address: number,
  flags: number,
): void {
  const fn = 'hugetlb_add_anon_rmap';
  if (!folio_test_hugetlb(m, folio)) warn(m, fn, 'not hugetlb');
  if (!folio_test_anon(m, folio)) warn(m, fn, 'not anonymous');
  const l = large(m, folio);
  l._entire_mapcount++;
  l._large_mapcount++;
  if (flags & RMAP_EXCLUSIVE) m.page.flags[folio] |= PG_anon_exclusive;
  if (l._entire_mapcount > 0 && PageAnonExclusive(m, folio)) warn(m, fn, 'exclusive folio with several mappings');
}

/**
 * Makes a new hugetlb folio anonymous memory of the vma (mm/rmap.c: hugetlb_add_new_anon_rmap()). The caller clears
 * restore_reserve.
 */
export function hugetlb_add_new_anon_rmap(m: Machine, folio: number, vma: vm_area_struct, address: number): void {
  if (!folio_test_hugetlb(m, folio)) warn(m, 'hugetlb_add_new_anon_rmap', 'not hugetlb');
  BUG_ON(address < vma.vm_start || address >= vma.vm_end, 'mm/rmap.c: hugetlb_add_new_anon_rmap() outside of the vma');
  const l = large(m, folio);
  l._entire_mapcount = 0;
  l._large_mapcount = 0;
  __folio_set_anon(m, folio, vma, address, true);
  m.page.flags[folio] |= PG_anon_exclusive;
}

/**
 * Duplicates a mapping of an anonymous hugetlb folio for a child. Returns 0 or -EBUSY (include/linux/rmap.h:
 * hugetlb_try_dup_anon_rmap()).
 */
export function hugetlb_try_dup_anon_rmap(m: Machine, folio: number, vma: vm_area_struct): number {
  const fn = 'hugetlb_try_dup_anon_rmap';
  if (!folio_test_hugetlb(m, folio)) warn(m, fn, 'not hugetlb');
  if (!folio_test_anon(m, folio)) warn(m, fn, 'not anonymous');
  if (PageAnonExclusive(m, folio)) {
    if (folio_needs_cow_for_dma(m, vma, folio)) return -EBUSY;
    m.page.flags[folio] &= ~PG_anon_exclusive;
  }
  const l = large(m, folio);
  l._entire_mapcount++;
  l._large_mapcount++;
  return 0;
}

/** Adds a mapping of a hugetlb file folio (include/linux/rmap.h: hugetlb_add_file_rmap()). */
export function hugetlb_add_file_rmap(m: Machine, folio: number): void {
  if (!folio_test_hugetlb(m, folio)) warn(m, 'hugetlb_add_file_rmap', 'not hugetlb');
  if (folio_test_anon(m, folio)) warn(m, 'hugetlb_add_file_rmap', 'anonymous');
  const l = large(m, folio);
  l._entire_mapcount++;
  l._large_mapcount++;
}

/** Removes a mapping of a hugetlb folio (include/linux/rmap.h: hugetlb_remove_rmap()). */
export function hugetlb_remove_rmap(m: Machine, folio: number): void {
  if (!folio_test_hugetlb(m, folio)) warn(m, 'hugetlb_remove_rmap', 'not hugetlb');
  const l = large(m, folio);
  l._entire_mapcount--;
  l._large_mapcount--;
}

/** Returns the pmd table for the address if a pmd there is a table, else null (mm/rmap.c: mm_find_pmd()). */
export function mm_find_pmd(m: Machine, mm: mm_struct, address: number): ptdesc | null {
  return pud_table(mm, address)?.child?.[pud_index(address)] ?? null;
}
