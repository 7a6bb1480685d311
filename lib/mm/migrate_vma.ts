// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { vm_area_struct } from './mm_types.ts';
import { page_folio, pfn_to_page } from './page.ts';

// Entries of the src and dst arrays (include/linux/migrate.h): pfn * 2^MIGRATE_PFN_SHIFT + flags, an exact double with
// upstream's own bit layout.
export const MIGRATE_PFN_VALID = 1 << 0;
export const MIGRATE_PFN_MIGRATE = 1 << 1;
export const MIGRATE_PFN_WRITE = 1 << 3;
export const MIGRATE_PFN_COMPOUND = 1 << 4;
export const MIGRATE_PFN_SHIFT = 6;

// enum migrate_vma_direction (include/linux/migrate.h)
export const MIGRATE_VMA_SELECT_SYSTEM = 1 << 0;
export const MIGRATE_VMA_SELECT_DEVICE_PRIVATE = 1 << 1;
export const MIGRATE_VMA_SELECT_DEVICE_COHERENT = 1 << 2;
export const MIGRATE_VMA_SELECT_COMPOUND = 1 << 3;

/** A migration of a range of addresses, from setup to finalize (include/linux/migrate.h: struct migrate_vma). */
export class migrate_vma {
  vma: vm_area_struct | null = null;
  /** where each page shall go, filled in by the driver; an entry a page of the range */
  dst: Float64Array | null = null;
  /** what was found, an entry a page of the range */
  src: Float64Array | null = null;
  /** entries that migrate */
  cpages = 0;
  npages = 0;
  start = 0;
  /** first byte after it */
  end = 0;
  /** owner of the device pages that are selected, compared by identity */
  pgmap_owner: unknown = null;
  /** MIGRATE_VMA_SELECT_* */
  flags = 0;
  /** the page that a CPU faulted on, when called from migrate_to_ram(), else 0; it is locked */
  fault_page = 0;
}

/** The folio of the page that a CPU faulted on, which the fault handler has locked; 0 without one. NON-KERNEL. */
export function fault_folio_of(m: Machine, fault_page: number): number {
  return fault_page === 0 || m.patches.has('no-1afaeb8293c9') ? 0 : page_folio(m, fault_page);
}

/** A valid entry for the pfn (include/linux/migrate.h: migrate_pfn()). */
export function migrate_pfn(pfn: number): number {
  return pfn * 64 + MIGRATE_PFN_VALID;
}

/** The page of an entry, or 0 (include/linux/migrate.h: migrate_pfn_to_page()). */
export function migrate_pfn_to_page(m: Machine, mpfn: number): number {
  return mpfn & MIGRATE_PFN_VALID ? pfn_to_page(m, Math.floor(mpfn / 64)) : 0;
}
