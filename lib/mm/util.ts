// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { is_zero_pfn } from './gup/pin.ts';
import {
  PGTY_buddy, PGTY_offline, PGTY_table, PG_active, PG_dirty, PG_head, PG_hwpoison, PG_idle, PG_large_rmappable, PG_locked, PG_lru,
  PG_mlocked, PG_private, PG_reclaim, PG_referenced, PG_reserved, PG_swapbacked, PG_swapcache, PG_unevictable, PG_uptodate, PG_writeback,
  folio_test_anon, folio_test_hugetlb, folio_test_large, page_folio, test_flag,
} from './page.ts';
import { folio_mapped } from './rmap/rmap.ts';
import { is_huge_zero_pfn } from './huge_memory/sysfs.ts';

// struct page_snapshot's flags (include/linux/mm.h)
export const PAGE_SNAPSHOT_FAITHFUL = 1 << 0;
export const PAGE_SNAPSHOT_PG_BUDDY = 1 << 1;
export const PAGE_SNAPSHOT_PG_IDLE = 1 << 2;
/** pfn is the offset of a device-private page; only with device-private-offsets */
export const PAGE_SNAPSHOT_DEVICE_PRIVATE = 1 << 3;

/** A page as it is at one moment (include/linux/mm.h: struct page_snapshot). The copies of struct page and folio are left out. */
export interface page_snapshot {
  pfn: number;
  /** the page's place in its folio */
  idx: number;
  /** PAGE_SNAPSHOT_* */
  flags: number;
}

/** Takes a snapshot; always faithful, since nothing runs beside it (mm/util.c: snapshot_page()). */
export function snapshot_page(m: Machine, page: number): page_snapshot {
  const folio = page_folio(m, page);
  let flags = PAGE_SNAPSHOT_FAITHFUL;
  if (m.page.page_type[page] === PGTY_buddy) flags |= PAGE_SNAPSHOT_PG_BUDDY;
  if (test_flag(m, folio, PG_idle)) flags |= PAGE_SNAPSHOT_PG_IDLE;
  if (m.device_private.by_offset(page) && !m.patches.has('offsets-no-snapshot-flag')) flags |= PAGE_SNAPSHOT_DEVICE_PRIVATE;
  return { pfn: m.device_private.page_number(page), idx: page - folio, flags };
}

// What user space sees of a page (include/uapi/linux/kernel-page-flags.h).
export const KPF_MMAP = 2 ** 11;
export const KPF_ANON = 2 ** 12;
export const KPF_COMPOUND_HEAD = 2 ** 15;
export const KPF_COMPOUND_TAIL = 2 ** 16;
export const KPF_THP = 2 ** 22;
export const KPF_ZERO_PAGE = 2 ** 24;
const KPF_BUDDY = 2 ** 10;
const KPF_SWAPCACHE = 2 ** 13;
const KPF_HUGE = 2 ** 17;
const KPF_HWPOISON = 2 ** 19;
const KPF_NOPAGE = 2 ** 20;
const KPF_OFFLINE = 2 ** 23;
const KPF_IDLE = 2 ** 25;
const KPF_PGTABLE = 2 ** 26;
const KPF_RESERVED = 2 ** 32;
const KPF_PRIVATE = 2 ** 35;

const COPIED: readonly (readonly [number, number])[] = [
  [PG_locked, 2 ** 0], [PG_referenced, 2 ** 2], [PG_uptodate, 2 ** 3], [PG_dirty, 2 ** 4], [PG_lru, 2 ** 5], [PG_active, 2 ** 6],
  [PG_writeback, 2 ** 8], [PG_reclaim, 2 ** 9], [PG_swapcache, KPF_SWAPCACHE], [PG_swapbacked, 2 ** 14], [PG_unevictable, 2 ** 18],
  [PG_mlocked, 2 ** 33], [PG_reserved, KPF_RESERVED], [PG_private, KPF_PRIVATE],
];

/** The page's KPF_* bits as one exact number (fs/proc/page.c: stable_page_flags()). KSM, slab, and the flags of file systems and architectures are left out. */
export function stable_page_flags(m: Machine, page: number): number {
  if (page === 0) return KPF_NOPAGE;
  const ps = snapshot_page(m, page);
  const folio = page_folio(m, page);
  let u = 0;
  if (folio_mapped(m, folio)) u += KPF_MMAP;
  if (folio_test_anon(m, folio)) u += KPF_ANON;
  if (ps.idx !== 0) u += KPF_COMPOUND_TAIL;
  else if (test_flag(m, folio, PG_head)) u += KPF_COMPOUND_HEAD;
  const has_pfn = (ps.flags & PAGE_SNAPSHOT_DEVICE_PRIVATE) === 0;
  if (folio_test_hugetlb(m, folio)) u += KPF_HUGE;
  else if (folio_test_large(m, folio) && test_flag(m, folio, PG_large_rmappable)) u += KPF_THP;
  else if (has_pfn && is_huge_zero_pfn(m, ps.pfn)) u += KPF_ZERO_PAGE + KPF_THP;
  else if (has_pfn && is_zero_pfn(m, ps.pfn)) u += KPF_ZERO_PAGE;
  if (ps.flags & PAGE_SNAPSHOT_PG_BUDDY) u += KPF_BUDDY;
  if (ps.flags & PAGE_SNAPSHOT_PG_IDLE) u += KPF_IDLE;
  if (m.page.page_type[folio] === PGTY_offline) u += KPF_OFFLINE;
  if (m.page.page_type[folio] === PGTY_table) u += KPF_PGTABLE;
  for (const [flag, kpf] of COPIED) if (test_flag(m, folio, flag)) u += kpf;
  if (test_flag(m, page, PG_hwpoison)) u += KPF_HWPOISON;
  return u;
}
