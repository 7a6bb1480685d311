// SPDX-License-Identifier: GPL-2.0-only
// What HMM v14 (Jerome Glisse, 8 December 2016) adds to headers: entries of pages, kinds of device memory. NON-KERNEL,
// as is all of hmm_v14*.ts: none of it was merged in this form. In effect with the patch state hmm-v14.

import type { Machine } from '../../boot.ts';
import type { PatchId } from '../../patches/index.ts';
import type { Gen } from '../../kernel/gen.ts';
import { dev_pagemap, folio_is_device_private, page_pgmap } from '../../mm/memremap.ts';
import type { vm_area_struct } from '../../mm/mm_types.ts';
import { folio_is_zone_device, pfn_to_page } from '../../mm/page.ts';

// An hmm_pfn_t of patch 13/16 (Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com): pfn * 2^HMM_PFN_SHIFT
// + flags, an exact double with the bit layout of that patch.
export const HMM_PFN_VALID = 1 << 0;
export const HMM_PFN_READ = 1 << 1;
export const HMM_PFN_WRITE = 1 << 2;
/** the access cannot be had; as a destination: the device has lost the page, whoever touches it gets SIGBUS */
export const HMM_PFN_ERROR = 1 << 3;
/** nothing is mapped */
export const HMM_PFN_EMPTY = 1 << 4;
export const HMM_PFN_DEVICE = 1 << 5;
export const HMM_PFN_LOCKED = 1 << 6;
/** a mapping without struct page behind it; never together with VALID */
export const HMM_PFN_SPECIAL = 1 << 7;
export const HMM_PFN_MIGRATE = 1 << 8;
export const HMM_PFN_UNADDRESSABLE = 1 << 9;
export const HMM_PFN_SHIFT = 10;

const UNIT = 2 ** HMM_PFN_SHIFT;

// What devm_memremap_pages() of v14 is told about memory.
export const MEMORY_NORMAL = 0;
export const MEMORY_DEVICE = 1 << 0;
export const MEMORY_DEVICE_ALLOW_MIGRATE = 1 << 1;
export const MEMORY_DEVICE_UNADDRESSABLE = 1 << 2;

/** A valid entry for the pfn. NON-KERNEL (include/linux/hmm.h of HMM v14). */
export function hmm_pfn_from_pfn(pfn: number): number {
  return pfn * UNIT + HMM_PFN_VALID;
}

/** The page of an entry, or 0. NON-KERNEL (include/linux/hmm.h of HMM v14). */
export function hmm_pfn_to_page(m: Machine, entry: number): number {
  return entry & HMM_PFN_VALID ? pfn_to_page(m, Math.floor(entry / UNIT)) : 0;
}

/**
 * What the driver of a device with unaddressable memory does. NON-KERNEL (include/linux/hmm.h of HMM v14, patch 15/16).
 */
interface hmm_devmem_ops {
  /** nobody uses the page any more: called at a count of 0, in v14 at the 1 that every device page had as its base */
  free(m: Machine, devmem: hmm_devmem, page: number): void;
  /** a CPU touched the page at the address, under the mmap_lock: VM_FAULT_* */
  fault(m: Machine, devmem: hmm_devmem, vma: vm_area_struct, addr: number, page: number, flags: number): Gen<number>;
}

/** Device memory that was hotplugged by hmm_devmem_add(). NON-KERNEL (include/linux/hmm.h of HMM v14, patch 15/16). */
export class hmm_devmem {
  readonly ops: hmm_devmem_ops;
  readonly pagemap = new dev_pagemap();
  /** MEMORY_DEVICE_*, in v14 a member of struct dev_pagemap */
  flags = 0;
  pfn_first = -1;
  /** behind the last one */
  pfn_last = -1;
  constructor(ops: hmm_devmem_ops) {
    this.ops = ops;
  }
}

/** The memory that a device page belongs to, or null if it is none of v14's. NON-KERNEL. */
export function page_devmem(m: Machine, page: number): hmm_devmem | null {
  if (!folio_is_zone_device(m, page)) return null;
  const { owner } = page_pgmap(m, page);
  return owner instanceof hmm_devmem ? owner : null;
}

/**
 * True for a device page that may be migrated, which needs a flag of its memory: DAX never has it. NON-KERNEL
 * (include/linux/memremap.h of HMM v14).
 */
export function dev_page_allow_migrate(m: Machine, page: number): boolean {
  return ((page_devmem(m, page)?.flags ?? 0) & MEMORY_DEVICE_ALLOW_MIGRATE) !== 0;
}

/** False for memory that the CPU cannot reach. NON-KERNEL (include/linux/memremap.h of HMM v14). */
export function is_addressable_page(m: Machine, page: number): boolean {
  return !folio_is_device_private(m, page);
}

/** True if the machine has this defect of the code as it was posted, alone or with all others. NON-KERNEL. */
export function as_posted(m: Machine, defect: PatchId): boolean {
  return m.patches.has('hmm-v14-as-posted') || m.patches.has(defect);
}
