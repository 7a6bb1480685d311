// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EINVAL, ENOMEM } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { null_dereference } from '../kernel/null_pointer.ts';
import { Oops, WARN_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import { completion, wait_for_completion } from '../kernel/sched/completion.ts';
import {
  MAX_SWAPFILES,
  softleaf_is_device_private,
  softleaf_is_migration_device_private,
  softleaf_is_migration_read,
  SOFTLEAF_MIGRATION_READ,
  softleaf_type,
} from './leafops.ts';
import {
  type dev_pagemap,
  for_each_run,
  is_device_private_page,
  kill_dev_pagemap,
  MEMORY_DEVICE_PRIVATE,
  page_pgmap,
  reset_pages,
} from './memremap.ts';
import { PG_reserved } from './page-flags.ts';
import { page_to_pfn, ZONE_DEVICE } from './page.ts';
import { PAGE_SIZE, PAGES_PER_SECTION } from './physmem.ts';

// How page-table entries, mpfns, hmm_pfns and rmap walks encode a device-private page. Linux 7.3.4 gives such pages pfns
// in unused physical address space. With device-private-offsets they have offsets instead, which start at 0 and collide
// with pfns of other pages, so whatever holds a number has a flag or type that says which of the two it is. The series
// is 20260107091823.68974-1 (v2) with its corrections up to 20260202113642.59295-1 (v6).

/** HMM_PFN_DEVICE_PRIVATE in the layout of mm/hmm.ts: above the five bits of the order */
const HMM_PFN_DEVICE_PRIVATE = 1 << 11;
/** the highest of the five bits of the order */
export const HMM_PFN_ORDER_TOP = 1 << 10;
/** of an mpfn (mm/migrate_device/migrate_vma.ts) */
export const MIGRATE_PFN_DEVICE_PRIVATE = 1 << 5;
/** of a page_vma_mapped_walk (mm/page_vma_mapped.ts) */
export const PVMW_DEVICE_PRIVATE = 1 << 2;
/** of a page_snapshot (mm/util.ts) */
export const PAGE_SNAPSHOT_DEVICE_PRIVATE = 1 << 3;

const MAX_PHYSMEM_BITS = 46;

/** How a number is marked as the offset of a device-private page. NON-KERNEL. */
export interface offset_layout {
  /** flag of an mpfn (mm/migrate_device/migrate_vma.ts) that holds an offset, 0 if none is set */
  readonly mpfn_flag: number;
  /** flag of an hmm_pfn (mm/hmm.ts) that holds an offset, 0 if none is set */
  readonly hmm_flag: number;
  /** flag of a page_vma_mapped_walk (mm/page_vma_mapped.ts) for an offset, 0 if none is set */
  readonly pvmw_flag: number;
  /** flag of a page_snapshot (mm/util.ts) that holds an offset, 0 if none is set */
  readonly snapshot_flag: number;
  /** lowest bit of the order in the 64 bits of an hmm_pfn (include/linux/hmm.h: HMM_PFN_ORDER_SHIFT) */
  readonly hmm_order_shift: number;
  /** whether migration entries of private pages have types of their own */
  readonly private_migration: boolean;
  /** swap types that are left for swap devices (include/linux/swap.h: MAX_SWAPFILES) */
  readonly max_swapfiles: number;
}

/** The layout of the series as corrected up to v6. */
export const linux_offset_layout: offset_layout = {
  mpfn_flag: MIGRATE_PFN_DEVICE_PRIVATE,
  hmm_flag: HMM_PFN_DEVICE_PRIVATE,
  pvmw_flag: PVMW_DEVICE_PRIVATE,
  snapshot_flag: PAGE_SNAPSHOT_DEVICE_PRIVATE,
  hmm_order_shift: 52,
  private_migration: true,
  max_swapfiles: MAX_SWAPFILES - 3,
};

/** How the machine numbers device-private pages. NON-KERNEL. */
export interface device_private_numbers extends offset_layout {
  /** true with device-private-offsets */
  readonly offsets: boolean;
  /** Returns true if the page is encoded as an offset. */
  by_offset(page: number): boolean;
  /** Returns the page's offset or pfn. */
  page_number(page: number): number;
  /** Returns true if the softleaf encodes an offset. */
  entry_by_offset(entry: number): boolean;
  /** softleaf_is_migration_read() */
  is_migration_read(entry: number): boolean;
  /** Returns the page of an offset, or 0 with a warning if no device has it. */
  offset_to_page(offset: number): number;
  /** Calls back with runs of contiguous struct pages of the pagemap; `number` is the first page's number. */
  for_each_run(pgmap: dev_pagemap, visit: (page: number, nr: number, number: number) => void): void;
}

/** Linux 7.3.4: private pages have pfns. NON-KERNEL (an implementation of device_private_numbers). */
export class by_pfn implements device_private_numbers {
  readonly offsets = false;
  readonly mpfn_flag = 0;
  readonly hmm_flag = 0;
  readonly pvmw_flag = 0;
  readonly snapshot_flag = 0;
  readonly hmm_order_shift = 53;
  readonly private_migration = false;
  readonly max_swapfiles = MAX_SWAPFILES;
  private readonly m: Machine;
  constructor(m: Machine) {
    this.m = m;
  }
  by_offset(): boolean {
    return false;
  }
  page_number(page: number): number {
    return page_to_pfn(this.m, page);
  }
  entry_by_offset(): boolean {
    return false;
  }
  is_migration_read(entry: number): boolean {
    return softleaf_is_migration_read(entry);
  }
  offset_to_page(offset: number): number {
    throw new Oops(`kernel BUG: offset 0x${offset.toString(16)} of a device-private page, which have pfns`);
  }
  for_each_run(pgmap: dev_pagemap, visit: (page: number, nr: number, number: number) => void): void {
    const { start, end } = pgmap.range;
    let at = Math.floor(start / PAGE_SIZE);
    for_each_run(this.m, at, Math.floor(end / PAGE_SIZE) - at + 1, (page, nr) => {
      visit(page, nr, at);
      at += nr;
    });
  }
}

/** device-private-offsets: private pages have offsets. NON-KERNEL (an implementation of device_private_numbers). */
export class by_offset implements device_private_numbers {
  readonly offsets = true;
  readonly mpfn_flag: number;
  readonly hmm_flag: number;
  readonly pvmw_flag: number;
  readonly snapshot_flag: number;
  readonly hmm_order_shift: number;
  readonly private_migration: boolean;
  readonly max_swapfiles: number;
  private readonly m: Machine;
  /** sorted by range (device_private_pgmap_tree) */
  private readonly pgmaps: dev_pagemap[] = [];
  /** struct pages of removed pagemaps, by number of sections */
  private readonly free_rows = new Map<number, number[]>();

  constructor(m: Machine, layout: offset_layout) {
    this.m = m;
    this.mpfn_flag = layout.mpfn_flag;
    this.hmm_flag = layout.hmm_flag;
    this.pvmw_flag = layout.pvmw_flag;
    this.snapshot_flag = layout.snapshot_flag;
    this.hmm_order_shift = layout.hmm_order_shift;
    this.private_migration = layout.private_migration;
    this.max_swapfiles = layout.max_swapfiles;
  }
  by_offset(page: number): boolean {
    return is_device_private_page(this.m, page);
  }
  page_number(page: number): number {
    return is_device_private_page(this.m, page)
      ? device_private_page_to_offset(this.m, page)
      : page_to_pfn(this.m, page);
  }
  entry_by_offset(entry: number): boolean {
    return softleaf_is_device_private(entry) || softleaf_is_migration_device_private(entry);
  }
  is_migration_read(entry: number): boolean {
    return this.m.patch.private_migration_not_read
      ? softleaf_type(entry) === SOFTLEAF_MIGRATION_READ
      : softleaf_is_migration_read(entry);
  }
  offset_to_page(offset: number): number {
    const at = offset * PAGE_SIZE;
    const pgmap = this.pgmaps.find((p) => at >= p.range.start && at <= p.range.end);
    if (pgmap === undefined) {
      WARN_ON_ONCE(this.m, true, 'device_private_offset_to_page');
      return 0;
    }
    return pgmap.pages + offset - pgmap.range.start / PAGE_SIZE;
  }
  for_each_run(pgmap: dev_pagemap, visit: (page: number, nr: number, number: number) => void): void {
    if (pgmap.type === MEMORY_DEVICE_PRIVATE) visit(pgmap.pages, pgmap.nr_pages, pgmap.range.start / PAGE_SIZE);
    else by_pfn.prototype.for_each_run.call(this, pgmap, visit);
  }

  /**
   * Puts the pagemap into the first large enough gap of the offset space and gives it struct pages. Returns false if
   * there is none.
   */
  add(pgmap: dev_pagemap): boolean {
    const size = pgmap.nr_pages * PAGE_SIZE;
    let start = 0;
    let i = 0;
    for (; i < this.pgmaps.length; i++) {
      const { range } = this.pgmaps[i];
      if (start + size <= range.start) break;
      start = range.end + 1;
    }
    if (start + size > 2 ** MAX_PHYSMEM_BITS) return false;
    pgmap.range.start = start;
    pgmap.range.end = start + size - 1;
    const sections = Math.ceil(pgmap.nr_pages / PAGES_PER_SECTION);
    pgmap.pages = this.free_rows.get(sections)?.pop() ?? this.m.page.add_section(-1);
    for (let n = this.m.page.rows; n < pgmap.pages + sections * PAGES_PER_SECTION; n += PAGES_PER_SECTION)
      this.m.page.add_section(-1);
    this.pgmaps.splice(i, 0, pgmap);
    return true;
  }

  remove(pgmap: dev_pagemap): void {
    const sections = Math.ceil(pgmap.nr_pages / PAGES_PER_SECTION);
    const free = this.free_rows.get(sections);
    if (free === undefined) this.free_rows.set(sections, [pgmap.pages]);
    else free.push(pgmap.pages);
    this.pgmaps.splice(this.pgmaps.indexOf(pgmap), 1);
  }
}

/** Returns a device-private page's offset. NON-KERNEL (20260202113642.59295-1: device_private_page_to_offset()). */
export function device_private_page_to_offset(m: Machine, page: number): number {
  const pgmap = page_pgmap(m, page) as dev_pagemap | null;
  if (pgmap === null) throw null_dereference(32);
  WARN_ON_ONCE(m, pgmap.type !== MEMORY_DEVICE_PRIVATE, 'device_private_page_to_offset');
  return pgmap.range.start / PAGE_SIZE + (page - pgmap.pages);
}

/**
 * Gives pgmap.nr_pages pages of private memory struct pages and a range of offsets, all free and the driver's to hand
 * out. A negative nid means the caller's node. Returns 0, -EINVAL for an incomplete pgmap or -ENOMEM. NON-KERNEL
 * (20260202113642.59295-1: memremap_device_private_pagemap()).
 */
export function memremap_device_private_pagemap(m: Machine, pgmap: dev_pagemap, nid: number): number {
  const fn = 'memremap_device_private_pagemap';
  const space = m.device_private;
  if (WARN_ON(m, pgmap.type !== MEMORY_DEVICE_PRIVATE, fn, `Invalid pgmap type ${pgmap.type}`)) return -EINVAL;
  if (WARN_ON(m, pgmap.ops?.migrate_to_ram === undefined, fn, 'Missing migrate_to_ram method')) return -EINVAL;
  if (WARN_ON(m, pgmap.owner === null, fn, 'Missing owner')) return -EINVAL;
  // The series does not check folio_free.
  if (!(space instanceof by_offset)) throw new Oops(`kernel BUG: ${fn}() of a kernel where private pages have pfns`);
  if (!space.add(pgmap)) return -ENOMEM;
  pgmap.nr_range = 1;
  pgmap.nid = nid < 0 && !m.patch.no_node_as_it_is ? 0 : nid;
  pgmap.done = new completion('dev_pagemap');
  pgmap.ref = 1;
  pgmap.ref_dying = false;
  m.pgmaps.add((id) => {
    pgmap.id = id;
    return pgmap;
  });
  reset_pages(m, pgmap.pages, pgmap.nr_pages, PG_reserved, ZONE_DEVICE, pgmap.id, 0);
  return 0;
}

/**
 * Removes private memory once the last of its pages is free. NON-KERNEL (20260202113642.59295-1:
 * memunmap_device_private_pagemap()).
 */
export function* memunmap_device_private_pagemap(m: Machine, pgmap: dev_pagemap): Gen<void> {
  const space = m.device_private;
  if (!(space instanceof by_offset))
    throw new Oops('kernel BUG: memunmap_device_private_pagemap() of a kernel where private pages have pfns');
  kill_dev_pagemap(m, pgmap, 1);
  yield* wait_for_completion(m, pgmap.done);
  reset_pages(m, pgmap.pages, pgmap.nr_pages, 0, 0, 0, 0);
  m.pgmaps.remove(pgmap.id);
  pgmap.id = 0;
  space.remove(pgmap);
}
