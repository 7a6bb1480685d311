// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { MIGRATE_PFN_DEVICE_PRIVATE } from '../device_private.ts';
import type { vm_area_struct } from '../mm_types.ts';
import { page_folio, pfn_to_page } from '../page.ts';

// Entries of the src and dst arrays (include/linux/migrate.h): pfn * 2^MIGRATE_PFN_SHIFT + flags, in upstream's bit
// layout; an exact double.
export const MIGRATE_PFN_VALID = 1 << 0;
export const MIGRATE_PFN_MIGRATE = 1 << 1;
export const MIGRATE_PFN_WRITE = 1 << 3;
export const MIGRATE_PFN_COMPOUND = 1 << 4;
export const MIGRATE_PFN_SHIFT = 6;
/** One pfn further in an entry. NON-KERNEL: entries are doubles here, which are not shifted. */
export const MIGRATE_PFN_ONE = 2 ** MIGRATE_PFN_SHIFT;

// enum migrate_vma_direction (include/linux/migrate.h)
export const MIGRATE_VMA_SELECT_SYSTEM = 1 << 0;
export const MIGRATE_VMA_SELECT_DEVICE_PRIVATE = 1 << 1;
export const MIGRATE_VMA_SELECT_DEVICE_COHERENT = 1 << 2;
export const MIGRATE_VMA_SELECT_COMPOUND = 1 << 3;

/** A migration of an address range (include/linux/migrate.h: struct migrate_vma). */
export class migrate_vma {
  vma: vm_area_struct | null = null;
  /** Destination entries, one per page of the range, filled in by the driver. */
  dst: Float64Array | null = null;
  /** Source entries, one per page of the range. */
  src: Float64Array | null = null;
  /** Number of entries that migrate. */
  cpages = 0;
  npages = 0;
  start = 0;
  /** End address, exclusive. */
  end = 0;
  /** Owner of the device pages to select, compared by identity. */
  pgmap_owner: unknown = null;
  /** MIGRATE_VMA_SELECT_* */
  flags = 0;
  /**
   * In state src-owner, instead of the two fields above: null selects system pages, an owner its device-private pages.
   */
  src_owner: unknown = null;
  /** The page that a CPU faulted on if called from migrate_to_ram(), else 0. The fault handler has locked it. */
  fault_page = 0;
}

/** Returns the folio of the page that a CPU faulted on, or 0. NON-KERNEL: upstream computes it in each caller. */
export function fault_folio_of(m: Machine, fault_page: number): number {
  return fault_page === 0 || m.patch.fault_page_unlocked ? 0 : page_folio(m, fault_page);
}

/** Returns a valid entry for the pfn (include/linux/migrate.h: migrate_pfn()). */
export function migrate_pfn(pfn: number): number {
  return pfn * MIGRATE_PFN_ONE + MIGRATE_PFN_VALID;
}

/**
 * A valid entry for the page, whichever way that is numbered. NON-KERNEL (20260202113642.59295-1:
 * migrate_pfn_from_page()).
 */
export function migrate_pfn_from_page(m: Machine, page: number): number {
  const space = m.device_private;
  return migrate_pfn(space.page_number(page)) + (space.by_offset(page) ? space.mpfn_flag : 0);
}

/** Returns the pfn of an entry. NON-KERNEL: upstream shifts in place. */
export function mpfn_pfn(mpfn: number): number {
  return Math.floor(mpfn / MIGRATE_PFN_ONE);
}

/** Returns the page of an entry, or 0 (include/linux/migrate.h: migrate_pfn_to_page()). */
export function migrate_pfn_to_page(m: Machine, mpfn: number): number {
  if ((mpfn & MIGRATE_PFN_VALID) === 0) return 0;
  const number = mpfn_pfn(mpfn);
  return mpfn & MIGRATE_PFN_DEVICE_PRIVATE ? m.device_private.offset_to_page(number) : pfn_to_page(m, number);
}
