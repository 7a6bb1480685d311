// SPDX-License-Identifier: GPL-2.0-only
// The flags of struct page (include/linux/page-flags.h). One row declares a flag: its bit in /proc/kpageflags and the
// masks that it belongs to. The accessors below it have upstream's names.

import type { Machine } from '../machine.ts';

/** Properties of a flag. NON-KERNEL. */
interface traits {
  /** bit in /proc/kpageflags, for a flag that is copied there (include/uapi/linux/kernel-page-flags.h) */
  kpf?: number;
  /** a page freed with it is a bad page */
  check_at_free?: true;
  /** survives freeing and allocation */
  kept_at_prep?: true;
  /** one of upstream's low eight bits, which hold the order in a large folio's first tail page */
  first_byte?: true;
  /** stored in the first tail page of a large folio, so that it ends with the compound page */
  second?: true;
  /** folio_migrate_flags() copies it to the new folio */
  migrate?: true;
  /** __split_folio_to_order() copies it to each new folio */
  split?: true;
}

/** One flag: its name without PG_, its bit as a mask, and its traits. NON-KERNEL. */
export interface page_flag extends traits {
  readonly name: string;
  readonly mask: number;
}

/** Every flag, in order of its bit. NON-KERNEL. */
export const page_flags: page_flag[] = [];

/** Declares a flag with the next free bit. NON-KERNEL. */
function flag(name: string, what: traits = {}): number {
  const mask = 1 << page_flags.length;
  page_flags.push({ name, mask, ...what });
  return mask;
}

type test = (m: Machine, folio: number) => boolean;
type change = (m: Machine, folio: number) => void;

/** Tests, sets and clears a flag (include/linux/page-flags.h: FOLIO_FLAG). NON-KERNEL form. */
function FOLIO_FLAG(mask: number): [test, change, change] {
  return [
    (m, folio) => (m.page.flags[folio] & mask) !== 0,
    (m, folio) => {
      m.page.flags[folio] |= mask;
    },
    (m, folio) => {
      m.page.flags[folio] &= ~mask;
    },
  ];
}

/** Sets a flag and returns whether it was set before (include/linux/page-flags.h: TESTSETFLAG). NON-KERNEL form. */
function TESTSETFLAG(mask: number): test {
  return (m, folio) => {
    const flags = m.page.flags;
    const was = (flags[folio] & mask) !== 0;
    flags[folio] |= mask;
    return was;
  };
}

/** Clears a flag and returns whether it was set before (include/linux/page-flags.h: TESTCLEARFLAG). NON-KERNEL form. */
function TESTCLEARFLAG(mask: number): test {
  return (m, folio) => {
    const flags = m.page.flags;
    const was = (flags[folio] & mask) !== 0;
    flags[folio] &= ~mask;
    return was;
  };
}

/** The folio lock; who sleeps on it is in mm/filemap/folio_lock.ts. */
export const PG_locked = flag('locked', { first_byte: true, kpf: 0, check_at_free: true, split: true });
export const [folio_test_locked] = FOLIO_FLAG(PG_locked);

/** The contents are valid. */
export const PG_uptodate = flag('uptodate', { first_byte: true, kpf: 3, migrate: true, split: true });
export const [folio_test_uptodate, folio_mark_uptodate, folio_clear_uptodate] = FOLIO_FLAG(PG_uptodate);

/** The contents differ from what backs the page. */
export const PG_dirty = flag('dirty', { first_byte: true, kpf: 4, migrate: true, split: true });
export const [folio_test_dirty, folio_set_dirty, folio_clear_dirty] = FOLIO_FLAG(PG_dirty);
export const folio_test_set_dirty = TESTSETFLAG(PG_dirty);
export const folio_test_clear_dirty = TESTCLEARFLAG(PG_dirty);

/** On an LRU list. */
export const PG_lru = flag('lru', { first_byte: true, kpf: 5, check_at_free: true });
export const [folio_test_lru, folio_set_lru, folio_clear_lru] = FOLIO_FLAG(PG_lru);
export const folio_test_clear_lru = TESTCLEARFLAG(PG_lru);

/** On an active LRU list; folio_migrate_flags() moves it. */
export const PG_active = flag('active', { kpf: 6, check_at_free: true, split: true });
export const [folio_test_active, folio_set_active, folio_clear_active] = FOLIO_FLAG(PG_active);

export const PG_referenced = flag('referenced', { first_byte: true, kpf: 2, migrate: true, split: true });
export const [folio_test_referenced, folio_set_referenced, folio_clear_referenced] = FOLIO_FLAG(PG_referenced);

/** Anonymous memory and shmem: backed by swap, not by a file. */
export const PG_swapbacked = flag('swapbacked', { kpf: 14, split: true });
export const [folio_test_swapbacked, folio_set_swapbacked, folio_clear_swapbacked] = FOLIO_FLAG(PG_swapbacked);

/** This page of an anonymous folio is mapped by one mm only. Upstream's bit is that of PG_mappedtodisk. */
export const PG_anon_exclusive = flag('anon_exclusive', { migrate: true });
export const [PageAnonExclusive, SetPageAnonExclusive, ClearPageAnonExclusive] = FOLIO_FLAG(PG_anon_exclusive);

export const PG_reserved = flag('reserved', { kpf: 32, check_at_free: true });
export const [PageReserved, SetPageReserved] = FOLIO_FLAG(PG_reserved);

export const PG_private = flag('private', { kpf: 35, check_at_free: true });
export const [folio_test_private] = FOLIO_FLAG(PG_private);

export const PG_writeback = flag('writeback', { first_byte: true, kpf: 8, check_at_free: true });
export const [folio_test_writeback, folio_set_writeback, folio_clear_writeback] = FOLIO_FLAG(PG_writeback);

/** On no list that reclaim scans; folio_migrate_flags() moves it. */
export const PG_unevictable = flag('unevictable', { kpf: 18, check_at_free: true, split: true });
export const [folio_test_unevictable, folio_set_unevictable, folio_clear_unevictable] = FOLIO_FLAG(PG_unevictable);

export const PG_mlocked = flag('mlocked', { kpf: 33, check_at_free: true, split: true });
export const [folio_test_mlocked, folio_set_mlocked, folio_clear_mlocked] = FOLIO_FLAG(PG_mlocked);

/** In the swap cache. */
export const PG_swapcache = flag('swapcache', { kpf: 13, split: true });
export const [folio_test_swapcache, folio_set_swapcache, folio_clear_swapcache] = FOLIO_FLAG(PG_swapcache);

/** Upstream's flag of memory that failed; the recorded kernel is built without CONFIG_MEMORY_FAILURE. */
export const PG_hwpoison = flag('hwpoison', { kept_at_prep: true });
export const [PageHWPoison] = FOLIO_FLAG(PG_hwpoison);

/** The first page of a compound page. */
export const PG_head = flag('head', { first_byte: true });
export const [folio_test_head, , ClearPageHead] = FOLIO_FLAG(PG_head);

export const PG_workingset = flag('workingset', { migrate: true, split: true });
export const [folio_test_workingset, folio_set_workingset] = FOLIO_FLAG(PG_workingset);

/** Some pages of the large folio are no longer mapped. */
export const PG_partially_mapped = flag('partially_mapped', { second: true });
export const [folio_test_partially_mapped, folio_set_partially_mapped, folio_clear_partially_mapped] =
  FOLIO_FLAG(PG_partially_mapped);
export const folio_test_clear_partially_mapped = TESTCLEARFLAG(PG_partially_mapped);

/** A large folio that rmap counts, as opposed to other compound pages. */
export const PG_large_rmappable = flag('large_rmappable', { second: true });
export const [folio_test_large_rmappable, folio_set_large_rmappable, folio_clear_large_rmappable] =
  FOLIO_FLAG(PG_large_rmappable);

/** To be reclaimed as soon as it is written; the same bit is PG_readahead upstream. */
export const PG_reclaim = flag('reclaim', { kpf: 9, migrate: true });
export const [folio_test_reclaim, folio_set_reclaim, folio_clear_reclaim] = FOLIO_FLAG(PG_reclaim);

/** Idle page tracking, as the next one. */
export const PG_young = flag('young', { migrate: true });
export const [folio_test_young, folio_set_young, folio_clear_young] = FOLIO_FLAG(PG_young);

export const PG_idle = flag('idle', { migrate: true });
export const [folio_test_idle, folio_set_idle, folio_clear_idle] = FOLIO_FLAG(PG_idle);

export const PG_mappedtodisk = flag('mappedtodisk', { migrate: true });

export const PG_has_hwpoisoned = flag('has_hwpoisoned', { second: true });
export const [folio_test_has_hwpoisoned] = FOLIO_FLAG(PG_has_hwpoisoned);

/** Returns the mask of the flags for which `belongs` is true. NON-KERNEL. */
function mask_of(belongs: (flag: page_flag) => boolean): number {
  return page_flags.reduce((mask, flag) => (belongs(flag) ? mask | flag.mask : mask), 0);
}

/** Flags with which no page may be freed (include/linux/page-flags.h: PAGE_FLAGS_CHECK_AT_FREE). */
export const PAGE_FLAGS_CHECK_AT_FREE = mask_of((flag) => flag.check_at_free === true);

/** Flags that a page is without when it is allocated (include/linux/page-flags.h: PAGE_FLAGS_CHECK_AT_PREP). */
export const PAGE_FLAGS_CHECK_AT_PREP = mask_of((flag) => flag.kept_at_prep !== true);

/** Flags that are stored in the first tail page (include/linux/page-flags.h: PAGE_FLAGS_SECOND). */
export const PAGE_FLAGS_SECOND = mask_of((flag) => flag.second === true);

/** Flags where the first tail page of a large folio keeps its order. NON-KERNEL name. */
export const PAGE_FLAGS_FIRST_BYTE = mask_of((flag) => flag.first_byte === true);

/** Flags that folio_migrate_flags() copies and leaves with the old folio. NON-KERNEL name. */
export const PAGE_FLAGS_MIGRATED = mask_of((flag) => flag.migrate === true);

/** Flags that each part of a split folio has as the whole had them. NON-KERNEL name. */
export const PAGE_FLAGS_SPLIT = mask_of((flag) => flag.split === true);

/** True if one of the flags of a mask is set. NON-KERNEL: for several flags at a time. */
export function test_flags(m: Machine, page: number, mask: number): boolean {
  return (m.page.flags[page] & mask) !== 0;
}

/** Sets the flags of a mask. NON-KERNEL: for several flags at a time. */
export function set_flags(m: Machine, page: number, mask: number): void {
  m.page.flags[page] |= mask;
}

/** Clears the flags of a mask. NON-KERNEL: for several flags at a time. */
export function clear_flags(m: Machine, page: number, mask: number): void {
  m.page.flags[page] &= ~mask;
}

/** The names of the flags in a mask, without PG_. NON-KERNEL. */
export function flag_names(mask: number): string[] {
  return page_flags.filter((flag) => (mask & flag.mask) !== 0).map((flag) => flag.name);
}
