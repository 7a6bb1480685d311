// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { BUG_ON, Oops } from '../kernel/printk.ts';
import { PG_head } from './page-flags.ts';
import { PAGE_SIZE, PAGES_PER_SECTION } from './physmem.ts';

// Page types (include/linux/page-flags.h: enum pagetype), 0 where upstream has no type.
export const PGTY_none = 0;
export const PGTY_buddy = 1;
export const PGTY_table = 2;
export const PGTY_hugetlb = 3;
export const PGTY_offline = 4;

export const ZONE_DMA32 = 1;
export const ZONE_NORMAL = 2;
export const ZONE_DEVICE = 4;

/** folio->mapping's low bits (include/linux/page-flags.h: FOLIO_MAPPING_ANON) */
export const FOLIO_MAPPING_ANON = 1;
export const FOLIO_MAPPING_FLAGS = 3;

/** State of a large folio that upstream keeps in its first tail pages (include/linux/mm_types.h: struct folio). */
export class large_folio {
  _large_mapcount = -1;
  _entire_mapcount = -1;
  _nr_pages_mapped = 0;
  _pincount = 0;
  readonly _mm_id: [number, number] = [0, 0];
  readonly _mm_id_mapcount: [number, number] = [-1, -1];
  /** folio_test_large_maybe_mapped_shared(): FOLIO_MM_IDS_SHARED_BIT */
  maybe_mapped_shared = false;
  /** it is on the deferred split queue */
  on_deferred_list = false;
  /** hugetlb: the folio's pool state, see mm/hugetlb/pool.ts */
  hugetlb_flags = 0;
}

const GROWTH = PAGES_PER_SECTION;

/** Returns a copy of a column with n elements. NON-KERNEL. */
function grow<T extends Int32Array | Uint32Array | Uint8Array | Uint16Array | Float64Array>(
  old: T,
  make: (n: number) => T,
  n: number,
): T {
  const a = make(n);
  a.set(old);
  return a;
}

/**
 * struct page in columns (include/linux/mm_types.h: struct page). A `page`, and a `folio` as its head page, is a row
 * number; 0 is NULL. Rows come in sections of 32768, added when a pfn of the section is first looked up and contiguous
 * within it, as in upstream's sparse memory map. A column may be replaced when rows are added, so no caller keeps one
 * across a call.
 */
export class Vmemmap {
  private readonly m: Machine;
  private capacity = PAGES_PER_SECTION;
  /** rows in use; the first PAGES_PER_SECTION are no pages */
  rows = PAGES_PER_SECTION;
  /** first pfn of each section of rows, -1 for pages that have no pfn */
  private section_pfn = new Int32Array(64).fill(-1);

  flags: Uint32Array = new Uint32Array(GROWTH);
  _refcount: Int32Array = new Int32Array(GROWTH);
  /** mapcount - 1: -1 is unmapped */
  _mapcount: Int32Array = new Int32Array(GROWTH);
  /** head page's row for a tail, else 0 */
  compound_head: Int32Array = new Int32Array(GROWTH);
  /** id of the anon_vma or address_space << 2, plus FOLIO_MAPPING_*; 0 for none */
  mapping: Int32Array = new Int32Array(GROWTH);
  /** page offset within the mapping */
  index: Float64Array = new Float64Array(GROWTH);
  /** page->private, folio->migrate_info: a number that its user defines */
  private: Int32Array = new Int32Array(GROWTH);
  lru_next: Int32Array = new Int32Array(GROWTH);
  lru_prev: Int32Array = new Int32Array(GROWTH);
  /**
   * The word of a ZONE_DEVICE page that is folio->pgmap, lru.next or compound_info: the id of a dev_pagemap (m.pgmaps),
   * 0 for NULL, or -row for the address of a page's lru
   */
  pgmap: Int32Array = new Int32Array(GROWTH);
  /**
   * The word that is page->zone_device_data, a number that its driver defines, or lru.prev of a ZONE_DEVICE page: -row
   * for the address of a page's lru
   */
  zone_device_data: Int32Array = new Int32Array(GROWTH);
  /** order of a folio's head page or of a free block */
  order: Uint8Array = new Uint8Array(GROWTH);
  page_type: Uint8Array = new Uint8Array(GROWTH);
  zone: Uint8Array = new Uint8Array(GROWTH);
  /** by head page, for folios of order above 0 */
  readonly large = new Map<number, large_folio>();

  constructor(m: Machine) {
    this.m = m;
  }

  /** Returns the bytes of the rows in use. */
  bytes(): number {
    return this.rows * (this.flags.BYTES_PER_ELEMENT * 10 + 8 + 3);
  }

  /** Adds a section of rows whose first pfn is `pfn`, or -1 for pages without pfns. Returns its first row. */
  add_section(pfn: number): number {
    const base = this.rows;
    this.rows += PAGES_PER_SECTION;
    if (this.rows > this.capacity) {
      const n = Math.max(this.rows, Math.min(this.capacity * 2, this.capacity + 16 * GROWTH));
      this.flags = grow(this.flags, (k) => new Uint32Array(k), n);
      this._refcount = grow(this._refcount, (k) => new Int32Array(k), n);
      this._mapcount = grow(this._mapcount, (k) => new Int32Array(k), n);
      this.compound_head = grow(this.compound_head, (k) => new Int32Array(k), n);
      this.mapping = grow(this.mapping, (k) => new Int32Array(k), n);
      this.index = grow(this.index, (k) => new Float64Array(k), n);
      this.private = grow(this.private, (k) => new Int32Array(k), n);
      this.lru_next = grow(this.lru_next, (k) => new Int32Array(k), n);
      this.lru_prev = grow(this.lru_prev, (k) => new Int32Array(k), n);
      this.pgmap = grow(this.pgmap, (k) => new Int32Array(k), n);
      this.zone_device_data = grow(this.zone_device_data, (k) => new Int32Array(k), n);
      this.order = grow(this.order, (k) => new Uint8Array(k), n);
      this.page_type = grow(this.page_type, (k) => new Uint8Array(k), n);
      this.zone = grow(this.zone, (k) => new Uint8Array(k), n);
      this.capacity = n;
    }
    this._mapcount.fill(-1, base, base + PAGES_PER_SECTION);
    const i = base / PAGES_PER_SECTION;
    if (i >= this.section_pfn.length) {
      const bigger = new Int32Array(i * 2).fill(-1);
      bigger.set(this.section_pfn);
      this.section_pfn = bigger;
    }
    this.section_pfn[i] = pfn;
    return base;
  }

  /**
   * Calls back for the rows of [from, to), both multiples of 16, that have a reference or are tail pages. Checks 16 rows
   * at a time, since most are free: the columns hold no negative numbers, so a sum is 0 only if all of them are.
   */
  for_each_used(from: number, to: number, visit: (page: number) => void): void {
    const { _refcount, compound_head } = this;
    const refs = new Float64Array(_refcount.buffer, from * 4, (to - from) / 2);
    const heads = new Float64Array(compound_head.buffer, from * 4, (to - from) / 2);
    for (let k = 0; k < refs.length; k += 8) {
      if (sum_of_8(refs, k) === 0 && sum_of_8(heads, k) === 0) continue;
      const first = from + 2 * k;
      for (let page = first; page < first + 16; page++)
        if (_refcount[page] !== 0 || compound_head[page] !== 0) visit(page);
    }
  }

  /** for_each_used() without tail pages. */
  for_each_referenced(from: number, to: number, visit: (page: number) => void): void {
    const { _refcount } = this;
    const refs = new Float64Array(_refcount.buffer, from * 4, (to - from) / 2);
    for (let k = 0; k < refs.length; k += 8) {
      if (sum_of_8(refs, k) === 0) continue;
      const first = from + 2 * k;
      for (let page = first; page < first + 16; page++) if (_refcount[page] !== 0) visit(page);
    }
  }

  pfn_to_page(pfn: number): number {
    const s = this.m.ram.section(pfn);
    if (s.page_base === 0) s.page_base = this.add_section(s.pfn);
    return s.page_base + (pfn & (PAGES_PER_SECTION - 1));
  }

  page_to_pfn(page: number): number {
    const base = this.section_pfn[page >>> 15];
    if (base < 0) throw new Oops(`BUG: page_to_pfn() of page ${page}, which has no pfn`);
    return base + (page & (PAGES_PER_SECTION - 1));
  }
}

/** Sums 8 pairs of 32-bit numbers, each pair read as one double. NON-KERNEL. */
function sum_of_8(a: Float64Array, k: number): number {
  return a[k] + a[k + 1] + a[k + 2] + a[k + 3] + a[k + 4] + a[k + 5] + a[k + 6] + a[k + 7];
}

/** Returns the struct page of a pfn (include/asm-generic/memory_model.h: pfn_to_page()). */
export function pfn_to_page(m: Machine, pfn: number): number {
  return m.page.pfn_to_page(pfn);
}

/** Returns the pfn of a page (include/asm-generic/memory_model.h: page_to_pfn()). */
export function page_to_pfn(m: Machine, page: number): number {
  return m.page.page_to_pfn(page);
}

/** Returns the pfn of the head page (include/linux/mm.h: folio_pfn()). */
export function folio_pfn(m: Machine, folio: number): number {
  return m.page.page_to_pfn(folio);
}

/** Returns the folio that contains the page (include/linux/page-flags.h: page_folio()). */
export function page_folio(m: Machine, page: number): number {
  return m.page.compound_head[page] || page;
}

/** Returns the folio that contains the pfn (include/linux/mm.h: pfn_folio()). */
export function pfn_folio(m: Machine, pfn: number): number {
  return page_folio(m, pfn_to_page(m, pfn));
}

/** Returns the n-th page of the folio (include/linux/page-flags.h: folio_page()). */
export function folio_page(folio: number, n: number): number {
  return folio + n;
}

/** Returns the page's index in its folio (include/linux/mm.h: folio_page_idx()). */
export function folio_page_idx(folio: number, page: number): number {
  return page - folio;
}

/** Returns log2 of the number of pages (include/linux/mm.h: folio_order()). */
export function folio_order(m: Machine, folio: number): number {
  return m.page.flags[folio] & PG_head ? m.page.order[folio] : 0;
}

/** Returns the number of pages (include/linux/mm.h: folio_nr_pages()). */
export function folio_nr_pages(m: Machine, folio: number): number {
  return 1 << folio_order(m, folio);
}

/** Returns the size in bytes (include/linux/mm.h: folio_size()). */
export function folio_size(m: Machine, folio: number): number {
  return folio_nr_pages(m, folio) * PAGE_SIZE;
}

/** Returns true for a folio of more than one page (include/linux/page-flags.h: folio_test_large()). */
export function folio_test_large(m: Machine, folio: number): boolean {
  return (m.page.flags[folio] & PG_head) !== 0;
}

/** Returns true for a page of a large folio (include/linux/page-flags.h: PageCompound()). */
export function PageCompound(m: Machine, page: number): boolean {
  return m.page.compound_head[page] !== 0 || (m.page.flags[page] & PG_head) !== 0;
}

/** Returns true for a page other than its folio's head (include/linux/page-flags.h: PageTail()). */
export function PageTail(m: Machine, page: number): boolean {
  return m.page.compound_head[page] !== 0;
}

/** Returns a large folio's state; a small folio has none and is a bug. NON-KERNEL. */
export function large(m: Machine, folio: number): large_folio {
  const l = m.page.large.get(folio);
  if (l === undefined) throw new Oops(`kernel BUG: folio ${folio} is not large`);
  return l;
}

/** Returns true for an anonymous folio (include/linux/page-flags.h: folio_test_anon()). */
export function folio_test_anon(m: Machine, folio: number): boolean {
  return (m.page.mapping[folio] & FOLIO_MAPPING_ANON) !== 0;
}

/** Returns true for a page of an anonymous folio (include/linux/page-flags.h: PageAnon()). */
export function PageAnon(m: Machine, page: number): boolean {
  return folio_test_anon(m, page_folio(m, page));
}

/** Returns true for a hugetlb folio (include/linux/page-flags.h: FOLIO_TYPE_OPS). */
export function folio_test_hugetlb(m: Machine, folio: number): boolean {
  return m.page.page_type[folio] === PGTY_hugetlb;
}

/** Returns true for a page of memremap_pages() (include/linux/mmzone.h: folio_is_zone_device()). */
export function folio_is_zone_device(m: Machine, folio: number): boolean {
  return m.page.zone[folio] === ZONE_DEVICE;
}

/** include/linux/page_ref.h: folio_ref_count() */
export function folio_ref_count(m: Machine, folio: number): number {
  return m.page._refcount[folio];
}

/** Takes a reference to a folio that already has one (include/linux/mm.h: folio_get()). */
export function folio_get(m: Machine, folio: number): void {
  BUG_ON(m.page._refcount[folio] <= 0, 'include/linux/mm.h: folio_get() of a folio without references');
  m.page._refcount[folio]++;
}

/** Takes several references (include/linux/page_ref.h: folio_ref_add()). */
export function folio_ref_add(m: Machine, folio: number, nr: number): void {
  m.page._refcount[folio] += nr;
}

/** Drops several references, never the last (include/linux/page_ref.h: folio_ref_sub()). */
export function folio_ref_sub(m: Machine, folio: number, nr: number): void {
  m.page._refcount[folio] -= nr;
}

/** Takes a reference unless the folio has none (include/linux/page_ref.h: folio_try_get()). */
export function folio_try_get(m: Machine, folio: number): boolean {
  if (m.page._refcount[folio] === 0) return false;
  m.page._refcount[folio]++;
  return true;
}

/** Sets the reference count to 0 and returns true if it is `count` (include/linux/page_ref.h: folio_ref_freeze()). */
export function folio_ref_freeze(m: Machine, folio: number, count: number): boolean {
  if (m.page._refcount[folio] !== count) return false;
  m.page._refcount[folio] = 0;
  return true;
}

/** Undoes folio_ref_freeze() (include/linux/page_ref.h: folio_ref_unfreeze()). */
export function folio_ref_unfreeze(m: Machine, folio: number, count: number): void {
  m.page._refcount[folio] = count;
}

/** A list of pages linked through lru; a page is on at most one list (include/linux/types.h: struct list_head). */
export class PageList {
  first = 0;
  last = 0;
  count = 0;
}

/** Adds the page at the head of the list (include/linux/list.h: list_add()). */
export function list_add(m: Machine, page: number, list: PageList): void {
  const p = m.page;
  p.lru_prev[page] = 0;
  p.lru_next[page] = list.first;
  if (list.first !== 0) p.lru_prev[list.first] = page;
  else list.last = page;
  list.first = page;
  list.count++;
}

/** Adds the page at the tail of the list (include/linux/list.h: list_add_tail()). */
export function list_add_tail(m: Machine, page: number, list: PageList): void {
  const p = m.page;
  p.lru_next[page] = 0;
  p.lru_prev[page] = list.last;
  if (list.last !== 0) p.lru_next[list.last] = page;
  else list.first = page;
  list.last = page;
  list.count++;
}

/** Adds the page in front of `at`, which is on the list. NON-KERNEL (upstream: list_add_tail() to an entry). */
export function list_add_before(m: Machine, page: number, at: number, list: PageList): void {
  const p = m.page;
  const prev = p.lru_prev[at];
  p.lru_prev[page] = prev;
  p.lru_next[page] = at;
  p.lru_prev[at] = page;
  if (prev !== 0) p.lru_next[prev] = page;
  else list.first = page;
  list.count++;
}

/** Removes the page from its list, which the caller passes (include/linux/list.h: list_del()). */
export function list_del(m: Machine, page: number, list: PageList): void {
  const p = m.page;
  const next = p.lru_next[page];
  const prev = p.lru_prev[page];
  if (prev !== 0) p.lru_next[prev] = next;
  else if (list.first === page) list.first = next;
  else throw new Oops(`kernel BUG at lib/list_debug.c: page ${page} is not on the list`);
  if (next !== 0) p.lru_prev[next] = prev;
  else list.last = prev;
  p.lru_next[page] = 0;
  p.lru_prev[page] = 0;
  list.count--;
}
