// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { BUG_ON, Oops } from '../kernel/printk.ts';
import { mod_mthp_stat, MTHP_STAT_NR_ANON } from './huge_memory/sysfs.ts';
import { flag_names, PAGE_FLAGS_CHECK_AT_FREE, PAGE_FLAGS_SECOND, PG_head, PG_large_rmappable } from './page-flags.ts';
import {
  FOLIO_MAPPING_ANON,
  folio_nr_pages,
  large_folio,
  list_add,
  list_del,
  page_to_pfn,
  PageList,
  pfn_to_page,
  PGTY_buddy,
  PGTY_hugetlb,
  PGTY_none,
  ZONE_DMA32,
  ZONE_NORMAL,
} from './page.ts';
import { PAGE_SIZE } from './physmem.ts';

export const MAX_PAGE_ORDER = 10;

export const GFP_KERNEL = 0xcc0;
export const __GFP_ZERO = 0x100;
export const __GFP_NOWARN = 0x2000;
export const __GFP_NOFAIL = 0x8000;
export const __GFP_COMP = 0x40000;
export const __GFP_THISNODE = 0x200000;
export const GFP_USER = 0x100cc0;
export const GFP_HIGHUSER = 0x100cc2;
export const GFP_HIGHUSER_MOVABLE = 0x100cca;
export const GFP_TRANSHUGE = 0x1c24ca;
export const GFP_TRANSHUGE_LIGHT = 0x1c20ca;

/** Memory [start, end), in pfns. From `untouched` on it was never allocated and has no struct pages yet. NON-KERNEL. */
interface Span {
  readonly start: number;
  readonly end: number;
  untouched: number;
}

/**
 * The buddy allocator: free blocks of 2^order pages, order 0 to MAX_PAGE_ORDER, split and merged
 * (include/linux/mmzone.h: struct zone). Memory that was never allocated is a range instead of list entries, so that a
 * large machine boots quickly, as upstream does with deferred struct page initialisation. There is one zone. Leaves out
 * watermarks and migrate types.
 */
export class zone {
  readonly free_area: PageList[] = [];
  readonly spans: Span[] = [];
  managed_pages = 0;
  nr_free = 0;
  /** returns true if an allocation of the order must fail (CONFIG_FAIL_PAGE_ALLOC); null without fault injection */
  fail_page_alloc: ((order: number) => boolean) | null = null;

  constructor() {
    for (let i = 0; i <= MAX_PAGE_ORDER; i++) this.free_area.push(new PageList());
  }

  /** Adds the pfns [start, end), both multiples of 2^MAX_PAGE_ORDER, to the allocator. */
  add_span(start: number, end: number): void {
    this.spans.push({ start, end, untouched: start });
    this.managed_pages += end - start;
    this.nr_free += end - start;
  }
}

/** Returns true if the pfn has a struct page of the zone. NON-KERNEL (upstream: pfn_valid(), page_zone_id()). */
function in_ram(z: zone, pfn: number): boolean {
  return z.spans.some((s) => pfn >= s.start && pfn < s.untouched);
}

/**
 * Takes a block from the free lists, else from memory never allocated (mm/page_alloc.c: rmqueue()). Leaves out per-CPU
 * lists and migrate types.
 */
function rmqueue(m: Machine, order: number): number {
  const z = m.zone;
  for (let o = order; o <= MAX_PAGE_ORDER; o++) {
    const list = z.free_area[o];
    if (list.first === 0) continue;
    const page = list.first;
    list_del(m, page, list);
    m.page.page_type[page] = PGTY_none;
    return expand(m, page, o, order);
  }
  for (const s of z.spans) {
    if (s.untouched >= s.end) continue;
    const pfn = s.untouched;
    s.untouched += 1 << MAX_PAGE_ORDER;
    const page = pfn_to_page(m, pfn);
    m.page.zone.fill(pfn < 0x100000 ? ZONE_DMA32 : ZONE_NORMAL, page, page + (1 << MAX_PAGE_ORDER));
    return expand(m, page, MAX_PAGE_ORDER, order);
  }
  return 0;
}

/** mm/page_alloc.c: expand() */
function expand(m: Machine, page: number, high: number, low: number): number {
  while (high > low) {
    high--;
    add_to_free_list(m, page + (1 << high), high);
  }
  return page;
}

/** mm/page_alloc.c: __add_to_free_list() */
function add_to_free_list(m: Machine, page: number, order: number): void {
  m.page.page_type[page] = PGTY_buddy;
  m.page.order[page] = order;
  list_add(m, page, m.zone.free_area[order]);
}

/**
 * Allocates 2^order pages, order 0 to MAX_PAGE_ORDER, with one reference, or returns 0. __GFP_COMP makes them one
 * folio, __GFP_ZERO zeroes them (mm/page_alloc.c: __alloc_pages_noprof()). Never sleeps: reclaim is not modelled.
 */
export function alloc_pages(m: Machine, gfp: number, order: number): number {
  if (m.zone.fail_page_alloc !== null && m.zone.fail_page_alloc(order)) return 0;
  const page = rmqueue(m, order);
  if (page === 0) return 0;
  const nr = 1 << order;
  m.zone.nr_free -= nr;
  const p = m.page;
  p.order[page] = 0;
  p._refcount[page] = 1;
  if (order > 0) {
    if (gfp & __GFP_COMP) prep_compound_page(m, page, order);
    else p._refcount.fill(1, page, page + nr);
  }
  if (gfp & __GFP_ZERO) {
    const pfn = page_to_pfn(m, page);
    for (let i = 0; i < nr; i++) m.ram.clear(pfn + i);
  }
  return page;
}

/**
 * Allocates a folio of 2^order pages with one reference, rmappable if large, or returns 0 (mm/page_alloc.c:
 * __folio_alloc_noprof()).
 */
export function folio_alloc(m: Machine, gfp: number, order: number): number {
  const folio = alloc_pages(m, gfp | (order > 0 ? __GFP_COMP : 0), order);
  if (folio !== 0 && order > 0) m.page.flags[folio] |= PG_large_rmappable;
  return folio;
}

/** Allocates one page with one reference, or returns 0 (include/linux/gfp.h: alloc_page()). */
export function alloc_page(m: Machine, gfp: number): number {
  return alloc_pages(m, gfp, 0);
}

/**
 * Frees 2^order pages without references (mm/page_alloc.c: free_frozen_pages()). A bad page, such as one still mapped
 * or on a list, is an oops here.
 */
export function free_frozen_pages(m: Machine, page: number, order: number): void {
  const p = m.page;
  const nr = 1 << order;
  BUG_ON(p.page_type[page] === PGTY_buddy, `mm/page_alloc.c: double free of page ${page}`);
  if (order > 0 && p.mapping[page] & FOLIO_MAPPING_ANON && p.page_type[page] !== PGTY_hugetlb) {
    mod_mthp_stat(m, order, MTHP_STAT_NR_ANON, -1);
  }
  if (p.flags[page] & PG_head) destroy_compound_page(m, page);
  for (let i = page; i < page + nr; i++) {
    if (p._mapcount[i] !== -1 || p._refcount[i] !== 0) {
      throw new Oops(`BUG: Bad page state: page ${i} refcount ${p._refcount[i]} mapcount ${p._mapcount[i] + 1}`);
    }
    const bad = p.flags[i] & PAGE_FLAGS_CHECK_AT_FREE;
    if (bad !== 0)
      throw new Oops(
        `BUG: Bad page state: page ${i}: PAGE_FLAGS_CHECK_AT_FREE flag(s) set: ${flag_names(bad).join('|')}`,
      );
    if (p.lru_next[i] !== 0 || p.lru_prev[i] !== 0) throw new Oops(`BUG: Bad page state: page ${i} is on a list`);
  }
  p.flags.fill(0, page, page + nr);
  p.mapping.fill(0, page, page + nr);
  p.private.fill(0, page, page + nr);
  p.index.fill(0, page, page + nr);
  p.page_type.fill(PGTY_none, page, page + nr);
  __free_one_page(m, page, order);
  m.zone.nr_free += nr;
}

/** Frees folios without references and empties the array (mm/page_alloc.c: free_unref_folios()). */
export function free_unref_folios(m: Machine, folios: number[]): void {
  for (const folio of folios) free_frozen_pages(m, folio, m.page.flags[folio] & PG_head ? m.page.order[folio] : 0);
  folios.length = 0;
}

/** Returns true if the page is in a free block (mm/page_alloc.c: is_free_buddy_page()). */
export function is_free_buddy_page(m: Machine, page: number): boolean {
  const pfn = page_to_pfn(m, page);
  for (let order = 0; order <= MAX_PAGE_ORDER; order++) {
    const head = page - (pfn & ((1 << order) - 1));
    if (m.page.page_type[head] === PGTY_buddy && m.page.order[head] >= order) return true;
  }
  return false;
}

/** Merges the block with its free buddies (mm/page_alloc.c: __free_one_page()). */
function __free_one_page(m: Machine, page: number, order: number): void {
  const p = m.page;
  let pfn = page_to_pfn(m, page);
  while (order < MAX_PAGE_ORDER) {
    const buddy_pfn = pfn ^ (1 << order);
    if (!in_ram(m.zone, buddy_pfn)) break;
    const buddy = pfn_to_page(m, buddy_pfn);
    if (p.page_type[buddy] !== PGTY_buddy || p.order[buddy] !== order) break;
    list_del(m, buddy, m.zone.free_area[order]);
    p.page_type[buddy] = PGTY_none;
    p.order[buddy] = 0;
    pfn &= ~(1 << order);
    order++;
  }
  add_to_free_list(m, pfn_to_page(m, pfn), order);
}

/** Frees 2^order pages with one reference that were allocated without __GFP_COMP (mm/page_alloc.c: __free_pages()). */
export function __free_pages(m: Machine, page: number, order: number): void {
  const p = m.page;
  if (order > 0 && !(p.flags[page] & PG_head)) p._refcount.fill(0, page, page + (1 << order));
  else p._refcount[page] = 0;
  free_frozen_pages(m, page, order);
}

/**
 * Splits a non-compound allocation of 2^order pages into single pages with a reference each (mm/page_alloc.c:
 * split_page()).
 */
export function split_page(m: Machine, page: number, order: number): void {
  BUG_ON((m.page.flags[page] & PG_head) !== 0, 'mm/page_alloc.c: split_page() of a compound page');
  m.page._refcount.fill(1, page, page + (1 << order));
}

/** Returns free memory in bytes. NON-KERNEL (include/linux/mmzone.h: NR_FREE_PAGES). */
export function free_bytes(m: Machine): number {
  return m.zone.nr_free * PAGE_SIZE;
}

/**
 * Makes 2^order pages one folio; order 1 to 18, the head aligned to it within its section (mm/page_alloc.c:
 * prep_compound_page()).
 */
export function prep_compound_page(m: Machine, page: number, order: number): void {
  const p = m.page;
  p.flags[page] |= PG_head;
  p.order[page] = order;
  const nr = 1 << order;
  p.compound_head.fill(page, page + 1, page + nr);
  p.mapping.fill(0, page + 1, page + nr);
  p.large.set(page, new large_folio());
}

/** Undoes prep_compound_page(). NON-KERNEL (mm/page_alloc.c: __free_pages_prepare()). */
export function destroy_compound_page(m: Machine, page: number): void {
  const p = m.page;
  const nr = folio_nr_pages(m, page);
  p.flags[page] &= ~(PG_head | PAGE_FLAGS_SECOND);
  p.compound_head.fill(0, page + 1, page + nr);
  p.order[page] = 0;
  p.large.delete(page);
}
