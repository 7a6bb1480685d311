// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { vm_fault } from './mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';

export const MEMORY_DEVICE_PRIVATE = 1;
export const MEMORY_DEVICE_COHERENT = 2;
export const MEMORY_DEVICE_FS_DAX = 3;
export const MEMORY_DEVICE_GENERIC = 4;
export const MEMORY_DEVICE_PCI_P2PDMA = 5;

/** What a driver does with its device pages (include/linux/memremap.h: struct dev_pagemap_ops). */
export interface dev_pagemap_ops {
  folio_free?: (m: Machine, folio: number) => void;
  migrate_to_ram?: (m: Machine, vmf: vm_fault) => Gen<number>;
  folio_split?: (m: Machine, head: number, tail: number) => void;
}

/** Inclusive physical byte range (include/linux/range.h: struct range). */
export interface range {
  start: number;
  end: number;
}

/** Device memory with struct pages (include/linux/memremap.h: struct dev_pagemap). */
export class dev_pagemap {
  type = 0;
  flags = 0;
  ops: dev_pagemap_ops | null = null;
  /** compared by identity */
  owner: unknown = null;
  nr_range = 0;
  readonly ranges: range[] = [{ start: 0, end: 0 }];
  /** its number in m.pgmaps while it is mapped, else 0 */
  id = 0;
  get range(): range {
    return this.ranges[0] as range;
  }
}

/** memremap_pages */
export function* memremap_pages(m: Machine, pgmap: dev_pagemap, nid: number): Gen<number> {
  throw new Unmodelled('memremap_pages');
}

/** memunmap_pages */
export function* memunmap_pages(m: Machine, pgmap: dev_pagemap): Gen<void> {
  throw new Unmodelled('memunmap_pages');
}

/** get_dev_pagemap */
export function get_dev_pagemap(m: Machine, pfn: number): dev_pagemap | null {
  throw new Unmodelled('get_dev_pagemap');
}

/** put_dev_pagemap */
export function put_dev_pagemap(m: Machine, pgmap: dev_pagemap | null): void {
  throw new Unmodelled('put_dev_pagemap');
}

/** pgmap_pfn_valid */
export function pgmap_pfn_valid(pgmap: dev_pagemap, pfn: number): boolean {
  throw new Unmodelled('pgmap_pfn_valid');
}

/** page_pgmap */
export function page_pgmap(m: Machine, page: number): dev_pagemap {
  throw new Unmodelled('page_pgmap');
}

/** folio_is_device_private */
export function folio_is_device_private(m: Machine, folio: number): boolean {
  throw new Unmodelled('folio_is_device_private');
}

/** is_device_private_page */
export function is_device_private_page(m: Machine, page: number): boolean {
  throw new Unmodelled('is_device_private_page');
}

/** folio_is_device_coherent */
export function folio_is_device_coherent(m: Machine, folio: number): boolean {
  throw new Unmodelled('folio_is_device_coherent');
}

/** is_device_coherent_page */
export function is_device_coherent_page(m: Machine, page: number): boolean {
  throw new Unmodelled('is_device_coherent_page');
}

/** folio_is_fsdax */
export function folio_is_fsdax(m: Machine, folio: number): boolean {
  throw new Unmodelled('folio_is_fsdax');
}

/** folio_zone_device_data */
export function folio_zone_device_data(m: Machine, folio: number): number {
  throw new Unmodelled('folio_zone_device_data');
}

/** folio_set_zone_device_data */
export function folio_set_zone_device_data(m: Machine, folio: number, data: number): void {
  throw new Unmodelled('folio_set_zone_device_data');
}

/** zone_device_page_init */
export function zone_device_page_init(m: Machine, page: number, pgmap: dev_pagemap, order: number): void {
  throw new Unmodelled('zone_device_page_init');
}

/** zone_device_folio_init */
export function zone_device_folio_init(m: Machine, folio: number, pgmap: dev_pagemap, order: number): void {
  throw new Unmodelled('zone_device_folio_init');
}

/** zone_device_private_split_cb */
export function zone_device_private_split_cb(m: Machine, original_folio: number, new_folio: number): void {
  throw new Unmodelled('zone_device_private_split_cb');
}

/** free_zone_device_folio */
export function free_zone_device_folio(m: Machine, folio: number): void {
  throw new Unmodelled('free_zone_device_folio');
}

