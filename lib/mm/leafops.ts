// SPDX-License-Identifier: GPL-2.0-only

import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_LEAF,
  LEAF_TYPE_MASK,
  LEAF_TYPE_SHIFT,
  pfn_pte,
  pte_clear_flags,
  pte_pfn,
  pte_set_flags,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../machine.ts';
import { WARN_ON_ONCE } from '../kernel/printk.ts';
import { folio_test_locked } from './page-flags.ts';
import { page_folio, pfn_to_page } from './page.ts';

// A softleaf_t has the layout of a pte (arch/x86/mm/pgtable) with only _PAGE_LEAF, the type, the offset and, for
// migration entries, the young and dirty bits. swp_type() maps the type to the swap type that pagemap shows, which
// depends on how many swap types the kernel was built with.

export const SOFTLEAF_NONE = 0;
export const SOFTLEAF_SWAP = 1;
export const SOFTLEAF_MIGRATION_READ = 2;
export const SOFTLEAF_MIGRATION_READ_EXCLUSIVE = 3;
export const SOFTLEAF_MIGRATION_WRITE = 4;
/** this and the next two: migration entries of device-private pages, only with device-private-offsets */
export const SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ = 5;
export const SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ_EXCLUSIVE = 6;
export const SOFTLEAF_MIGRATION_DEVICE_PRIVATE_WRITE = 7;
export const SOFTLEAF_DEVICE_PRIVATE_READ = 8;
export const SOFTLEAF_DEVICE_PRIVATE_WRITE = 9;
export const SOFTLEAF_DEVICE_EXCLUSIVE = 10;
export const SOFTLEAF_HWPOISON = 11;
export const SOFTLEAF_MARKER = 12;

/** added to a migration type, gives the type for device-private pages */
const MIGRATION_TO_DEVICE_PRIVATE = SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ - SOFTLEAF_MIGRATION_READ;

export const PTE_MARKER_UFFD_WP = 1;
export const PTE_MARKER_POISONED = 2;
export const PTE_MARKER_GUARD = 4;
const PTE_MARKER_MASK = 7;

/** include/linux/swapops.h: swp_entry() */
function mk(type: number, offset: number): number {
  return pfn_pte(offset, _PAGE_LEAF | (type << LEAF_TYPE_SHIFT));
}

/** Returns the SOFTLEAF_* type (include/linux/leafops.h: softleaf_type()). */
export function softleaf_type(entry: number): number {
  return (entry & LEAF_TYPE_MASK) >>> LEAF_TYPE_SHIFT;
}

/**
 * Returns the softleaf of a non-present pte, 0 for a present or empty one (include/linux/leafops.h:
 * softleaf_from_pte()).
 */
export function softleaf_from_pte(pte: number): number {
  if ((pte & _PAGE_LEAF) === 0) return 0;
  return pte_clear_flags(pte, ~(_PAGE_LEAF | LEAF_TYPE_MASK | _PAGE_ACCESSED | _PAGE_DIRTY) & 0xfffff);
}

/** Returns the softleaf of a non-present pmd, 0 for any other (include/linux/leafops.h: softleaf_from_pmd()). */
export function softleaf_from_pmd(pmd: number): number {
  return softleaf_from_pte(pmd);
}

/**
 * Returns the pte of a softleaf, without its soft-dirty, uffd-wp and exclusive bits (include/linux/leafops.h:
 * softleaf_to_pte()).
 */
export function softleaf_to_pte(entry: number): number {
  return entry;
}

/** include/linux/leafops.h: softleaf_to_pmd() */
export function softleaf_to_pmd(entry: number): number {
  return entry;
}

/** include/linux/leafops.h: softleaf_is_swap() */
export function softleaf_is_swap(entry: number): boolean {
  return softleaf_type(entry) === SOFTLEAF_SWAP;
}

/**
 * Returns true for any migration entry, also of a device-private page (include/linux/leafops.h:
 * softleaf_is_migration()).
 */
export function softleaf_is_migration(entry: number): boolean {
  const t = softleaf_type(entry);
  return t >= SOFTLEAF_MIGRATION_READ && t <= SOFTLEAF_MIGRATION_DEVICE_PRIVATE_WRITE;
}

/**
 * Returns true for a migration entry of a device-private page. NON-KERNEL (20260202113642.59295-1:
 * softleaf_is_migration_device_private()).
 */
export function softleaf_is_migration_device_private(entry: number): boolean {
  const t = softleaf_type(entry);
  return t >= SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ && t <= SOFTLEAF_MIGRATION_DEVICE_PRIVATE_WRITE;
}

/** include/linux/leafops.h: softleaf_is_migration_write() */
export function softleaf_is_migration_write(entry: number): boolean {
  const t = softleaf_type(entry);
  return t === SOFTLEAF_MIGRATION_WRITE || t === SOFTLEAF_MIGRATION_DEVICE_PRIVATE_WRITE;
}

/** include/linux/leafops.h: softleaf_is_migration_read() */
export function softleaf_is_migration_read(entry: number): boolean {
  const t = softleaf_type(entry);
  return t === SOFTLEAF_MIGRATION_READ || t === SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ;
}

/** include/linux/leafops.h: softleaf_is_migration_read_exclusive() */
export function softleaf_is_migration_read_exclusive(entry: number): boolean {
  const t = softleaf_type(entry);
  return t === SOFTLEAF_MIGRATION_READ_EXCLUSIVE || t === SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ_EXCLUSIVE;
}

/**
 * Returns true for a readable or writable device-private entry (include/linux/leafops.h: softleaf_is_device_private()).
 */
export function softleaf_is_device_private(entry: number): boolean {
  const t = softleaf_type(entry);
  return t === SOFTLEAF_DEVICE_PRIVATE_READ || t === SOFTLEAF_DEVICE_PRIVATE_WRITE;
}

/** include/linux/leafops.h: softleaf_is_device_private_write() */
export function softleaf_is_device_private_write(entry: number): boolean {
  return softleaf_type(entry) === SOFTLEAF_DEVICE_PRIVATE_WRITE;
}

/** include/linux/leafops.h: softleaf_is_device_exclusive() */
export function softleaf_is_device_exclusive(entry: number): boolean {
  return softleaf_type(entry) === SOFTLEAF_DEVICE_EXCLUSIVE;
}

/** include/linux/leafops.h: softleaf_is_hwpoison() */
export function softleaf_is_hwpoison(entry: number): boolean {
  return softleaf_type(entry) === SOFTLEAF_HWPOISON;
}

/** Returns true for a pte marker (include/linux/leafops.h: softleaf_is_marker()). */
export function softleaf_is_marker(entry: number): boolean {
  return softleaf_type(entry) === SOFTLEAF_MARKER;
}

/** Returns the PTE_MARKER_* bits of a marker; of another entry it warns (include/linux/leafops.h: softleaf_to_marker()). */
export function softleaf_to_marker(m: Machine, entry: number): number {
  WARN_ON_ONCE(m, !softleaf_is_marker(entry), 'softleaf_to_marker');
  return marker_bits(entry);
}

/** Returns the offset of an entry as marker bits. NON-KERNEL: softleaf_to_marker() of what is known to be a marker. */
function marker_bits(entry: number): number {
  return pte_pfn(entry) & PTE_MARKER_MASK;
}

/** include/linux/leafops.h: softleaf_is_poison_marker() */
export function softleaf_is_poison_marker(entry: number): boolean {
  return softleaf_is_marker(entry) && (marker_bits(entry) & PTE_MARKER_POISONED) !== 0;
}

/** include/linux/leafops.h: softleaf_is_guard_marker() */
export function softleaf_is_guard_marker(entry: number): boolean {
  return softleaf_is_marker(entry) && (marker_bits(entry) & PTE_MARKER_GUARD) !== 0;
}

/** include/linux/leafops.h: softleaf_is_uffd_wp_marker() */
export function softleaf_is_uffd_wp_marker(entry: number): boolean {
  return softleaf_is_marker(entry) && (marker_bits(entry) & PTE_MARKER_UFFD_WP) !== 0;
}

/** Returns true if the softleaf encodes a pfn (include/linux/leafops.h: softleaf_has_pfn()). */
export function softleaf_has_pfn(entry: number): boolean {
  const t = softleaf_type(entry);
  return t >= SOFTLEAF_MIGRATION_READ && t <= SOFTLEAF_HWPOISON;
}

/** Returns the offset in the entry, whatever it means (include/linux/swapops.h: swp_offset()). */
export function swp_offset(entry: number): number {
  return pte_pfn(entry);
}

/** Returns the pfn in the entry; without one it warns (include/linux/leafops.h: softleaf_to_pfn()). */
export function softleaf_to_pfn(m: Machine, entry: number): number {
  WARN_ON_ONCE(m, !softleaf_has_pfn(entry), 'softleaf_to_pfn');
  return pte_pfn(entry);
}

/**
 * Warns of a migration entry whose folio is not locked: only the one that migrates the folio may put it there
 * (include/linux/leafops.h: softleaf_migration_sync()).
 */
function softleaf_migration_sync(m: Machine, folio: number): void {
  WARN_ON_ONCE(m, !folio_test_locked(m, folio), 'softleaf_migration_sync');
}

/** softleaf_to_page() without a check, for what looks at an entry and does not use it. NON-KERNEL. */
export function page_of_softleaf(m: Machine, entry: number): number {
  const space = m.device_private;
  return space.entry_by_offset(entry) ? space.offset_to_page(pte_pfn(entry)) : pfn_to_page(m, pte_pfn(entry));
}

/**
 * Returns the struct page, or 0 for an offset that no device has; warns of an entry without a pfn, and of a migration
 * entry of an unlocked folio (include/linux/leafops.h: softleaf_to_page()).
 */
export function softleaf_to_page(m: Machine, entry: number): number {
  const page = page_of_softleaf(m, entry);
  WARN_ON_ONCE(m, !softleaf_has_pfn(entry), 'softleaf_to_page');
  if (softleaf_is_migration(entry) && page !== 0) softleaf_migration_sync(m, page_folio(m, page));
  return page;
}

/**
 * Returns the young and dirty bits of a migration entry, for the entry that replaces it. NON-KERNEL
 * (20260202113642.59295-1: softleaf_to_flags()).
 */
export function softleaf_to_flags(m: Machine, entry: number): number {
  return m.patch.migration_forgets_young_dirty ? 0 : entry & (_PAGE_ACCESSED | _PAGE_DIRTY);
}

/** include/linux/leafops.h: softleaf_to_folio() */
export function softleaf_to_folio(m: Machine, entry: number): number {
  return page_folio(m, softleaf_to_page(m, entry));
}

/** include/linux/leafops.h: softleaf_is_migration_young() */
export function softleaf_is_migration_young(m: Machine, entry: number): boolean {
  WARN_ON_ONCE(m, !softleaf_is_migration(entry), 'softleaf_is_migration_young');
  return (entry & _PAGE_ACCESSED) !== 0;
}

/** include/linux/leafops.h: softleaf_is_migration_dirty() */
export function softleaf_is_migration_dirty(m: Machine, entry: number): boolean {
  WARN_ON_ONCE(m, !softleaf_is_migration(entry), 'softleaf_is_migration_dirty');
  return (entry & _PAGE_DIRTY) !== 0;
}

/** include/linux/swapops.h: make_migration_entry_young() */
export function make_migration_entry_young(entry: number): number {
  return pte_set_flags(entry, _PAGE_ACCESSED);
}

/** include/linux/swapops.h: make_migration_entry_dirty() */
export function make_migration_entry_dirty(entry: number): number {
  return pte_set_flags(entry, _PAGE_DIRTY);
}

/** include/linux/swapops.h: make_readable_migration_entry() */
export function make_readable_migration_entry(offset: number): number {
  return mk(SOFTLEAF_MIGRATION_READ, offset);
}

/** include/linux/swapops.h: make_readable_exclusive_migration_entry() */
export function make_readable_exclusive_migration_entry(offset: number): number {
  return mk(SOFTLEAF_MIGRATION_READ_EXCLUSIVE, offset);
}

/** include/linux/swapops.h: make_writable_migration_entry() */
export function make_writable_migration_entry(offset: number): number {
  return mk(SOFTLEAF_MIGRATION_WRITE, offset);
}

/** include/linux/swapops.h: make_readable_device_private_entry() */
export function make_readable_device_private_entry(offset: number): number {
  return mk(SOFTLEAF_DEVICE_PRIVATE_READ, offset);
}

/** include/linux/swapops.h: make_writable_device_private_entry() */
export function make_writable_device_private_entry(offset: number): number {
  return mk(SOFTLEAF_DEVICE_PRIVATE_WRITE, offset);
}

// An entry encodes the page's pfn. With device-private-offsets a device-private page's entry encodes its offset instead;
// the entry's type tells which. The functions that take a page are those of 20260202113642.59295-1.

/** Gives a migration entry the type for the page and the flags. NON-KERNEL (device-private-offsets). */
function for_page(m: Machine, entry: number, page: number, flags: number): number {
  const space = m.device_private;
  if (!space.private_migration || !space.by_offset(page)) return entry + flags;
  return entry + (MIGRATION_TO_DEVICE_PRIVATE << LEAF_TYPE_SHIFT) + flags;
}

/** make_readable_migration_entry() for a page; flags are softleaf_to_flags() of the old entry. NON-KERNEL. */
export function make_readable_migration_entry_from_page(m: Machine, page: number, flags: number): number {
  return for_page(m, make_readable_migration_entry(m.device_private.page_number(page)), page, flags);
}

/** make_readable_exclusive_migration_entry() for a page. NON-KERNEL. */
export function make_readable_exclusive_migration_entry_from_page(m: Machine, page: number, flags: number): number {
  return for_page(m, make_readable_exclusive_migration_entry(m.device_private.page_number(page)), page, flags);
}

/** make_writable_migration_entry() for a page. NON-KERNEL. */
export function make_writable_migration_entry_from_page(m: Machine, page: number, flags: number): number {
  return for_page(m, make_writable_migration_entry(m.device_private.page_number(page)), page, flags);
}

/** make_readable_device_private_entry() for a page. NON-KERNEL. */
export function make_readable_device_private_entry_from_page(m: Machine, page: number): number {
  return make_readable_device_private_entry(m.device_private.page_number(page));
}

/** make_writable_device_private_entry() for a page. NON-KERNEL. */
export function make_writable_device_private_entry_from_page(m: Machine, page: number): number {
  return make_writable_device_private_entry(m.device_private.page_number(page));
}

/** include/linux/swapops.h: make_device_exclusive_entry() */
export function make_device_exclusive_entry(offset: number): number {
  return mk(SOFTLEAF_DEVICE_EXCLUSIVE, offset);
}

/** Makes a marker of PTE_MARKER_* bits (include/linux/swapops.h: make_pte_marker_entry()). */
export function make_pte_marker_entry(marker: number): number {
  return mk(SOFTLEAF_MARKER, marker);
}

/** include/linux/swapops.h: make_guard_swp_entry() */
export function make_guard_swp_entry(): number {
  return make_pte_marker_entry(PTE_MARKER_GUARD);
}

/** include/linux/swapops.h: make_poisoned_swp_entry() */
export function make_poisoned_swp_entry(): number {
  return make_pte_marker_entry(PTE_MARKER_POISONED);
}

/** Returns true for a pte marker (include/linux/leafops.h: pte_is_marker()). */
export function pte_is_marker(pte: number): boolean {
  return softleaf_is_marker(softleaf_from_pte(pte));
}

/** include/linux/leafops.h: pte_is_uffd_wp_marker() */
export function pte_is_uffd_wp_marker(pte: number): boolean {
  return softleaf_is_uffd_wp_marker(softleaf_from_pte(pte));
}

/** include/linux/leafops.h: pmd_is_device_private_entry() */
export function pmd_is_device_private_entry(pmd: number): boolean {
  return softleaf_is_device_private(softleaf_from_pmd(pmd));
}

/** include/linux/leafops.h: pmd_is_migration_entry() */
export function pmd_is_migration_entry(pmd: number): boolean {
  return softleaf_is_migration(softleaf_from_pmd(pmd));
}

/**
 * Returns true for the entries that a pmd may hold: migration and device-private ones (include/linux/leafops.h:
 * pmd_is_valid_softleaf()).
 */
export function pmd_is_valid_softleaf(pmd: number): boolean {
  const entry = softleaf_from_pmd(pmd);
  return softleaf_is_device_private(entry) || softleaf_is_migration(entry);
}

/**
 * Returns the folio of a pmd's migration or device-private entry; of any other it warns and returns 0
 * (include/linux/leafops.h: pmd_to_softleaf_folio()).
 */
export function pmd_to_softleaf_folio(m: Machine, pmd: number): number {
  if (WARN_ON_ONCE(m, !pmd_is_valid_softleaf(pmd), 'pmd_to_softleaf_folio')) return 0;
  return softleaf_to_folio(m, softleaf_from_pmd(pmd));
}

/**
 * Swap types of entries that are no swap entries, relative to MAX_SWAPFILES (include/linux/swap.h: SWP_MIGRATION_READ
 * and the like).
 */
const SWP_TYPE: Readonly<Record<number, number>> = {
  [SOFTLEAF_HWPOISON]: 0,
  [SOFTLEAF_MIGRATION_READ]: 1,
  [SOFTLEAF_MIGRATION_READ_EXCLUSIVE]: 2,
  [SOFTLEAF_MIGRATION_WRITE]: 3,
  [SOFTLEAF_DEVICE_PRIVATE_WRITE]: 4,
  [SOFTLEAF_DEVICE_PRIVATE_READ]: 5,
  [SOFTLEAF_DEVICE_EXCLUSIVE]: 6,
  [SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ]: 7,
  [SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ_EXCLUSIVE]: 8,
  [SOFTLEAF_MIGRATION_DEVICE_PRIVATE_WRITE]: 9,
};
/** number of types left for swap devices; device-private-offsets takes three of them */
export const MAX_SWAPFILES = 24;
/** the last of the 2^MAX_SWAPFILES_SHIFT types */
const SWP_PTE_MARKER = 31;

/** Returns the swap type that user space sees in pagemap (include/linux/swap.h: MAX_SWAPFILES). */
export function swp_type(entry: number, max_swapfiles = MAX_SWAPFILES): number {
  const type = softleaf_type(entry);
  if (type === SOFTLEAF_MARKER) return SWP_PTE_MARKER;
  const n = SWP_TYPE[type];
  return n === undefined ? 0 : max_swapfiles + n;
}
