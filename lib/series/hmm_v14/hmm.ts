// SPDX-License-Identifier: GPL-2.0-only
// Headers of HMM v14 (Jerome Glisse, 8 December 2016): page entries and kinds of device memory. NON-KERNEL throughout,
// like the other files of this folder: nothing of it was merged in this form. In effect with patch state hmm-v14.

import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { dev_pagemap, folio_is_device_private, page_pgmap } from '../../mm/memremap.ts';
import type { vm_area_struct } from '../../mm/mm_types.ts';
import { folio_is_zone_device, pfn_to_page } from '../../mm/page.ts';

// hmm_pfn_t of patch 13/16 (Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com): pfn * 2^HMM_PFN_SHIFT +
// flags in that patch's bit layout; an exact double.
export const HMM_PFN_VALID = 1 << 0;
export const HMM_PFN_READ = 1 << 1;
export const HMM_PFN_WRITE = 1 << 2;
/** The access is impossible. As a destination: the device lost the page, and an access raises SIGBUS. */
export const HMM_PFN_ERROR = 1 << 3;
/** Nothing is mapped. */
export const HMM_PFN_EMPTY = 1 << 4;
export const HMM_PFN_DEVICE = 1 << 5;
export const HMM_PFN_LOCKED = 1 << 6;
/** A mapping without a struct page; never together with VALID. */
export const HMM_PFN_SPECIAL = 1 << 7;
export const HMM_PFN_MIGRATE = 1 << 8;
export const HMM_PFN_UNADDRESSABLE = 1 << 9;
export const HMM_PFN_SHIFT = 10;

const UNIT = 2 ** HMM_PFN_SHIFT;

// Flags of v14's devm_memremap_pages().
export const MEMORY_NORMAL = 0;
export const MEMORY_DEVICE = 1 << 0;
export const MEMORY_DEVICE_ALLOW_MIGRATE = 1 << 1;
export const MEMORY_DEVICE_UNADDRESSABLE = 1 << 2;

/** Returns a valid entry for the pfn. NON-KERNEL (include/linux/hmm.h of HMM v14). */
export function hmm_pfn_from_pfn(pfn: number): number {
  return pfn * UNIT + HMM_PFN_VALID;
}

/** Returns the page of an entry, or 0. NON-KERNEL (include/linux/hmm.h of HMM v14). */
export function hmm_pfn_to_page(m: Machine, entry: number): number {
  return entry & HMM_PFN_VALID ? pfn_to_page(m, Math.floor(entry / UNIT)) : 0;
}

/**
 * Callbacks of the driver of a device with unaddressable memory. NON-KERNEL (include/linux/hmm.h of HMM v14, patch
 * 15/16).
 */
interface hmm_devmem_ops {
  /** The last user dropped the page: its refcount is 0, in v14 the base count 1. */
  free(m: Machine, devmem: hmm_devmem, page: number): void;
  /** Handles a CPU fault on the page at the address, under mmap_lock. Returns VM_FAULT_*. */
  fault(m: Machine, devmem: hmm_devmem, vma: vm_area_struct, addr: number, page: number, flags: number): Gen<number>;
}

/** Device memory hotplugged by hmm_devmem_add(). NON-KERNEL (include/linux/hmm.h of HMM v14, patch 15/16). */
export class hmm_devmem {
  readonly ops: hmm_devmem_ops;
  readonly pagemap = new dev_pagemap();
  /** MEMORY_DEVICE_*; in v14 a member of struct dev_pagemap. */
  flags = 0;
  pfn_first = -1;
  /** One past the last pfn. */
  pfn_last = -1;
  constructor(ops: hmm_devmem_ops) {
    this.ops = ops;
  }
}

/** Returns the hmm_devmem of a device page, or null if the page is not v14's. NON-KERNEL. */
export function page_devmem(m: Machine, page: number): hmm_devmem | null {
  if (!folio_is_zone_device(m, page)) return null;
  const { owner } = page_pgmap(m, page);
  return owner instanceof hmm_devmem ? owner : null;
}

/**
 * Returns true for a device page that may be migrated: its memory has MEMORY_DEVICE_ALLOW_MIGRATE, DAX never has.
 * NON-KERNEL (include/linux/memremap.h of HMM v14).
 */
export function dev_page_allow_migrate(m: Machine, page: number): boolean {
  return ((page_devmem(m, page)?.flags ?? 0) & MEMORY_DEVICE_ALLOW_MIGRATE) !== 0;
}

/** Returns false for memory that the CPU cannot address. NON-KERNEL (include/linux/memremap.h of HMM v14). */
export function is_addressable_page(m: Machine, page: number): boolean {
  return !folio_is_device_private(m, page);
}
