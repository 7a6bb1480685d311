// SPDX-License-Identifier: GPL-2.0-only

import { pud_table } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, type ptdesc, pud_index } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../boot.ts';
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
import { folio_anon_vma, folio_mapping } from '../util.ts';
import { linear_anon_page_index } from '../vma/vma.ts';

// rmap_t (include/linux/rmap.h)
export const RMAP_NONE = 0;
export const RMAP_EXCLUSIVE = 1;
/** references that one pin counts for on a folio of one page (include/linux/mm.h) */
export const GUP_PIN_COUNTING_BIAS = 1024;
/** what one mapping by a pmd adds to _nr_pages_mapped (mm/internal.h) */
const ENTIRELY_MAPPED = 0x800000;
const FOLIO_PAGES_MAPPED = ENTIRELY_MAPPED - 1;
const MM_ID_DUMMY = 0;

function warn(m: Machine, fn: string, what: string): void {
  WARN_ON(m, true, fn, what);
}

/** How many entries of any size map the large folio, 0 if none does (include/linux/mm.h: folio_large_mapcount()). */
export function folio_large_mapcount(m: Machine, folio: number): number {
  return large(m, folio)._large_mapcount + 1;
}

/** How many entries map the large folio as a whole (include/linux/mm.h: folio_entire_mapcount()). */
export function folio_entire_mapcount(m: Machine, folio: number): number {
  return large(m, folio)._entire_mapcount + 1;
}

/** How many page-table entries map the folio or a part of it (include/linux/mm.h: folio_mapcount()). */
export function folio_mapcount(m: Machine, folio: number): number {
  const p = m.page;
  if (p.flags[folio] & PG_head) return large(m, folio)._large_mapcount + 1;
  return p._mapcount[folio] + 1;
}

/** True if any page-table entry maps the folio or a part of it (include/linux/mm.h: folio_mapped()). */
export function folio_mapped(m: Machine, folio: number): boolean {
  return folio_mapcount(m, folio) >= 1;
}

/**
 * How many entries map this very page, those of the whole folio counted (fs/proc/internal.h:
 * folio_precise_page_mapcount()).
 */
export function folio_precise_page_mapcount(m: Machine, folio: number, page: number): number {
  let mapcount = m.page._mapcount[page] + 1;
  if (folio_test_large(m, folio)) mapcount += folio_entire_mapcount(m, folio);
  return mapcount;
}

/** False only if a single mm certainly holds all mappings (include/linux/mm.h: folio_maybe_mapped_shared()). */
export function folio_maybe_mapped_shared(m: Machine, folio: number): boolean {
  const mapcount = folio_mapcount(m, folio);
  if (!folio_test_large(m, folio) || folio_test_hugetlb(m, folio)) return mapcount > 1;
  if (mapcount <= 1) return false;
  return large(m, folio).maybe_mapped_shared;
}

/**
 * True if the folio may be pinned: exact for large folios, a guess by reference count for small ones
 * (include/linux/mm.h: folio_maybe_dma_pinned()).
 */
export function folio_maybe_dma_pinned(m: Machine, folio: number): boolean {
  if (folio_test_large(m, folio)) return large(m, folio)._pincount > 0;
  return m.page._refcount[folio] >>> 0 >= GUP_PIN_COUNTING_BIAS;
}

/**
 * True if fork must copy the folio at once, since its mm pinned pages and this may be one (include/linux/mm.h:
 * folio_needs_cow_for_dma()).
 */
function folio_needs_cow_for_dma(m: Machine, vma: vm_area_struct, folio: number): boolean {
  BUG_ON((vma.vm_mm.write_protect_seq & 1) === 0, 'include/linux/mm.h: folio_needs_cow_for_dma() outside of fork');
  if ((vma.vm_mm.flags & MMF_HAS_PINNED) === 0) return false;
  return folio_maybe_dma_pinned(m, folio);
}

/**
 * References that the page cache, PG_private and the mappings hold on the folio (include/linux/mm.h:
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

/** Page offset of the folio in its object (include/linux/pagemap.h: folio_pgoff()). */
export function folio_pgoff(m: Machine, folio: number): number {
  return m.page.index[folio];
}

/** Page offset of one of the folio's pages in its object (include/linux/pagemap.h: page_pgoff()). */
export function page_pgoff(m: Machine, folio: number, page: number): number {
  return m.page.index[folio] + (page - folio);
}

function __vma_address(vma: vm_area_struct, pgoff: number, pgoff_start: number, nr_pages: number): number {
  if (pgoff >= pgoff_start) {
    const address = vma.vm_start + (pgoff - pgoff_start) * 4096;
    return address >= vma.vm_end ? -EFAULT : address;
  }
  if (pgoff + nr_pages - 1 >= pgoff_start) return vma.vm_start;
  return -EFAULT;
}

/**
 * The first address at which the vma can map any of these pages of its file, or -EFAULT (mm/internal.h:
 * vma_filebacked_address()).
 */
export function vma_filebacked_address(vma: vm_area_struct, pgoff: number, nr_pages: number): number {
  return __vma_address(vma, pgoff, vma.vm_pgoff, nr_pages);
}

/**
 * The first address at which the vma can map any of these anonymous pages, or -EFAULT (mm/internal.h:
 * vma_anon_address()).
 */
export function vma_anon_address(vma: vm_area_struct, pgoff: number, nr_pages: number): number {
  return __vma_address(vma, pgoff, vma.vm_anon_pgoff, nr_pages);
}

/** The address that the page has in the vma if it is mapped there, or -EFAULT (mm/rmap.c: page_address_in_vma()). */
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

/** Sets the mapcount of a folio that nothing mapped before (include/linux/rmap.h: folio_set_large_mapcount()). */
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
 * Adds mappings by the vma's mm and answers the new mapcount (include/linux/rmap.h: folio_add_return_large_mapcount()).
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
 * Takes mappings by the vma's mm away and answers the new mapcount (include/linux/rmap.h:
 * folio_sub_return_large_mapcount()).
 */
function folio_sub_return_large_mapcount(m: Machine, folio: number, diff: number, vma: vm_area_struct): number {
  const l = large(m, folio);
  const mm_id = vma.vm_mm.mm_id;
  __folio_large_mapcount_sanity_checks(m, folio, l, diff, mm_id);
  const new_mapcount_val = l._large_mapcount - diff;
  l._large_mapcount = new_mapcount_val;
  const slot = l._mm_id[0] === mm_id ? 0 : l._mm_id[1] === mm_id ? 1 : null;
  if (slot !== null) {
    // An mm whose first mappings found no free slot can have fewer counted than it takes away.
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

/** Makes the folio belong to the vma's own anon_vma; the folio is locked (mm/rmap.c: folio_move_anon_rmap()). */
export function folio_move_anon_rmap(m: Machine, folio: number, vma: vm_area_struct): void {
  BUG_ON(!folio_test_locked(m, folio), 'mm/rmap.c: folio_move_anon_rmap() of an unlocked folio');
  const av = vma.anon_vma;
  BUG_ON(av === null, 'mm/rmap.c: folio_move_anon_rmap() to a vma without anon_vma');
  m.page.mapping[folio] = ((av as anon_vma).id << 2) | FOLIO_MAPPING_ANON;
}

function __folio_set_anon(m: Machine, folio: number, vma: vm_area_struct, address: number, exclusive: boolean): void {
  const own = vma.anon_vma;
  BUG_ON(own === null, 'mm/rmap.c: __folio_set_anon() of a vma without anon_vma');
  if (folio_test_anon(m, folio) && m.patches.has('no-7ab0ad0e74f8')) return;
  const av = exclusive ? (own as anon_vma) : (own as anon_vma).root;
  m.page.mapping[folio] = (av.id << 2) | FOLIO_MAPPING_ANON;
  m.page.index[folio] = linear_anon_page_index(vma, address);
}

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

// Memory of a device may claim to be on no node (-1), which has no counters.
function lruvec_stat_mod_folio(m: Machine, folio: number): void {
  const { zone, pgmap } = m.page;
  if (zone[folio] !== ZONE_DEVICE || (m.pgmaps.get(pgmap[folio])?.nid ?? 0) >= 0) return;
  throw new Oops('BUG: kernel NULL pointer dereference, address: 0000000000000000');
}

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
 * Adds pte mappings of consecutive pages of an anonymous folio; RMAP_EXCLUSIVE marks them as this mm's own (mm/rmap.c:
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

/** Adds a pmd mapping of a whole anonymous folio (mm/rmap.c: folio_add_anon_rmap_pmd()). */
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
 * Makes a new folio anonymous memory of the vma and counts its first mapping: by a pmd if it is of that size, else by
 * ptes (mm/rmap.c: folio_add_new_anon_rmap()). Droppable memory is not modelled.
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
  WARN_ON_ONCE(m, address < vma.vm_start || address + nr * 4096 > vma.vm_end, fn, 'address');
  if (nr > 1) mod_mthp_stat(m, folio_order(m, folio), MTHP_STAT_NR_ANON, 1);
}

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

/** Adds pte mappings of consecutive pages of a file's folio (mm/rmap.c: folio_add_file_rmap_ptes()). */
export function folio_add_file_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
): void {
  __folio_add_file_rmap(m, folio, page, nr_pages, vma, false);
}

/** Adds one pte mapping of a page of a file's folio (include/linux/rmap.h: folio_add_file_rmap_pte()). */
export function folio_add_file_rmap_pte(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_add_file_rmap(m, folio, page, 1, vma, false);
}

/** Adds a pmd mapping of a file's folio (mm/rmap.c: folio_add_file_rmap_pmd()). */
export function folio_add_file_rmap_pmd(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_add_file_rmap(m, folio, page, HPAGE_PMD_NR, vma, true);
}

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

/** Takes pte mappings of consecutive pages of a folio away (mm/rmap.c: folio_remove_rmap_ptes()). */
export function folio_remove_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  vma: vm_area_struct,
): void {
  __folio_remove_rmap(m, folio, page, nr_pages, vma, false);
}

/** Takes one pte mapping of a page of a folio away (include/linux/rmap.h: folio_remove_rmap_pte()). */
export function folio_remove_rmap_pte(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_remove_rmap(m, folio, page, 1, vma, false);
}

/** Takes a pmd mapping of a folio away (mm/rmap.c: folio_remove_rmap_pmd()). */
export function folio_remove_rmap_pmd(m: Machine, folio: number, page: number, vma: vm_area_struct): void {
  __folio_remove_rmap(m, folio, page, HPAGE_PMD_NR, vma, true);
}

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

/** Counts the child's copies of pte mappings of a file's folio (include/linux/rmap.h: folio_dup_file_rmap_ptes()). */
export function folio_dup_file_rmap_ptes(
  m: Machine,
  folio: number,
  page: number,
  nr_pages: number,
  dst_vma: vm_area_struct,
): void {
  __folio_dup_file_rmap(m, folio, page, nr_pages, dst_vma, false);
}

/** Counts the child's copy of one pte mapping of a file's folio (include/linux/rmap.h: folio_dup_file_rmap_pte()). */
export function folio_dup_file_rmap_pte(m: Machine, folio: number, page: number, dst_vma: vm_area_struct): void {
  __folio_dup_file_rmap(m, folio, page, 1, dst_vma, false);
}

/**
 * Counts the child's copy of a pmd mapping of a file's folio (include/linux/rmap.h: folio_dup_file_rmap_pmd()).
 * As upstream it counts 512 pte mappings.
 */
export function folio_dup_file_rmap_pmd(m: Machine, folio: number, page: number, dst_vma: vm_area_struct): void {
  __folio_dup_file_rmap(m, folio, page, HPAGE_PMD_NR, dst_vma, false);
}

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
 * Shares pte mappings of an anonymous folio with a child; -EBUSY if it may be pinned and must be copied
 * (include/linux/rmap.h: folio_try_dup_anon_rmap_ptes()).
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

/** As folio_try_dup_anon_rmap_ptes() for one page (include/linux/rmap.h: folio_try_dup_anon_rmap_pte()). */
export function folio_try_dup_anon_rmap_pte(
  m: Machine,
  folio: number,
  page: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): number {
  return __folio_try_dup_anon_rmap(m, folio, page, 1, dst_vma, src_vma, false);
}

/** As folio_try_dup_anon_rmap_ptes() for a pmd mapping (include/linux/rmap.h: folio_try_dup_anon_rmap_pmd()). */
export function folio_try_dup_anon_rmap_pmd(
  m: Machine,
  folio: number,
  page: number,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
): number {
  return __folio_try_dup_anon_rmap(m, folio, page, HPAGE_PMD_NR, dst_vma, src_vma, true);
}

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
 * Marks an exclusive page as possibly shared before its cleared pte becomes a leaf; -EBUSY if it may be pinned
 * (include/linux/rmap.h: folio_try_share_anon_rmap_pte()).
 */
export function folio_try_share_anon_rmap_pte(m: Machine, folio: number, page: number): number {
  return __folio_try_share_anon_rmap(m, folio, page, 1, false);
}

/** As folio_try_share_anon_rmap_pte() for a pmd mapping (include/linux/rmap.h: folio_try_share_anon_rmap_pmd()). */
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
 * Makes a new hugetlb folio anonymous memory of the vma (mm/rmap.c: hugetlb_add_new_anon_rmap()); its caller clears
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
 * Shares a mapping of an anonymous hugetlb folio with a child, or -EBUSY (include/linux/rmap.h:
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

/**
 * Marks an exclusive hugetlb folio as possibly shared, or -EBUSY (include/linux/rmap.h: hugetlb_try_share_anon_rmap()).
 */
export function hugetlb_try_share_anon_rmap(m: Machine, folio: number): number {
  const fn = 'hugetlb_try_share_anon_rmap';
  if (!folio_test_hugetlb(m, folio)) warn(m, fn, 'not hugetlb');
  if (!folio_test_anon(m, folio)) warn(m, fn, 'not anonymous');
  if (!PageAnonExclusive(m, folio)) warn(m, fn, 'not exclusive');
  if (folio_maybe_dma_pinned(m, folio)) return -EBUSY;
  m.page.flags[folio] &= ~PG_anon_exclusive;
  return 0;
}

/** Adds a mapping of a hugetlb file's folio (include/linux/rmap.h: hugetlb_add_file_rmap()). */
export function hugetlb_add_file_rmap(m: Machine, folio: number): void {
  if (!folio_test_hugetlb(m, folio)) warn(m, 'hugetlb_add_file_rmap', 'not hugetlb');
  if (folio_test_anon(m, folio)) warn(m, 'hugetlb_add_file_rmap', 'anonymous');
  const l = large(m, folio);
  l._entire_mapcount++;
  l._large_mapcount++;
}

/** Takes a mapping of a hugetlb folio away (include/linux/rmap.h: hugetlb_remove_rmap()). */
export function hugetlb_remove_rmap(m: Machine, folio: number): void {
  if (!folio_test_hugetlb(m, folio)) warn(m, 'hugetlb_remove_rmap', 'not hugetlb');
  const l = large(m, folio);
  l._entire_mapcount--;
  l._large_mapcount--;
}

/** The pmd table for the address, or null if there is none, or a leaf in its place (mm/rmap.c: mm_find_pmd()). */
export function mm_find_pmd(m: Machine, mm: mm_struct, address: number): ptdesc | null {
  return pud_table(mm, address)?.child?.[pud_index(address)] ?? null;
}
