// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EINVAL, ENOMEM, ENXIO } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { null_dereference } from '../kernel/null_pointer.ts';
import { BUG_ON, printk, WARN_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import {
  IORES_DESC_NONE,
  IORESOURCE_SYSTEM_RAM,
  REGION_DISJOINT,
  region_intersects,
  REGION_MIXED,
} from '../kernel/resource.ts';
import { complete, completion, wait_for_completion } from '../kernel/sched/completion.ts';
import { __folio_set_locked } from './filemap/folio_lock.ts';
import { folio_unqueue_deferred_split } from './huge_memory/deferred_split.ts';
import { mod_mthp_stat, MTHP_STAT_NR_ANON } from './huge_memory/sysfs.ts';
import { Unmodelled } from '../unmodelled.ts';
import type { vm_fault } from './mm_types.ts';
import {
  folio_test_lru,
  PAGE_FLAGS_FIRST_BYTE,
  PAGE_FLAGS_SECOND,
  PG_anon_exclusive,
  PG_head,
  PG_large_rmappable,
  PG_reserved,
} from './page-flags.ts';
import {
  FOLIO_MAPPING_ANON,
  folio_nr_pages,
  folio_order,
  page_folio,
  pfn_to_page,
  PGTY_none,
  ZONE_DEVICE,
} from './page.ts';
import { prep_compound_page } from './page_alloc.ts';
import { PAGE_SIZE, PAGES_PER_SECTION } from './physmem.ts';

// enum memory_type (include/linux/memremap.h)
/** device memory that the CPU cannot address; not in the linear map */
export const MEMORY_DEVICE_PRIVATE = 1;
/** device memory that the CPU can address coherently */
export const MEMORY_DEVICE_COHERENT = 2;
const MEMORY_DEVICE_FS_DAX = 3;
export const MEMORY_DEVICE_GENERIC = 4;
const MEMORY_DEVICE_PCI_P2PDMA = 5;

/** alignment that memremap_pages() requires, 2 MiB, in pages (include/linux/mmzone.h: PAGES_PER_SUBSECTION) */
const PAGES_PER_SUBSECTION = 512;
/** last mappable byte, with MAX_PHYSMEM_BITS 46 (arch/x86/include/asm/sparsemem.h: MAX_PHYSMEM_BITS) */
const DIRECT_MAP_PHYSMEM_END = 2 ** 46 - 1;

/** Callbacks of a driver with device pages (include/linux/memremap.h: struct dev_pagemap_ops). */
export interface dev_pagemap_ops {
  /** the folio's last reference was dropped */
  folio_free?: (m: Machine, folio: number) => void;
  /** migrates a private page back on a CPU fault; returns VM_FAULT_* */
  migrate_to_ram?: (m: Machine, vmf: vm_fault) => Gen<number>;
  /** `tail` was split off `head`; last call: tail 0, for the head itself */
  folio_split?: (m: Machine, head: number, tail: number) => void;
  /**
   * NON-KERNEL: the first word of what `data`, the zone_device_data of `folio`, points at became the address of the lru
   * of `page`
   */
  overwritten?: (m: Machine, folio: number, data: number, page: number) => void;
}

/** A range of physical bytes, inclusive (include/linux/range.h: struct range). */
interface range {
  start: number;
  end: number;
}

/**
 * Device memory with struct pages (include/linux/memremap.h: struct dev_pagemap). Leaves out alternative memory maps
 * and vmemmap optimisation: nothing modelled uses them.
 */
export class dev_pagemap {
  /** MEMORY_DEVICE_* */
  type = 0;
  flags = 0;
  ops: dev_pagemap_ops | null = null;
  /** compared by identity */
  owner: unknown = null;
  nr_range = 0;
  /** bytes of physical address space, or of the offset space (private memory with device-private-offsets) */
  readonly ranges: range[] = [{ start: 0, end: 0 }];
  /** number of pages; only with device-private-offsets */
  nr_pages = 0;
  /** first struct page; only with device-private-offsets */
  pages = 0;
  /** NUMA node of the pages */
  nid = 0;
  /** index in m.pgmaps, 0 while unmapped */
  id = 0;
  /** pages in use, plus one until memunmap_pages() */
  ref = 0;
  ref_dying = false;
  done = new completion('dev_pagemap');
  get range(): range {
    return this.ranges[0];
  }
}

/** include/linux/range.h: range_len() */
function range_len(r: range): number {
  return r.end - r.start + 1;
}

/** include/linux/percpu-refcount.h: percpu_ref_put_many() */
function percpu_ref_put_many(m: Machine, pgmap: dev_pagemap, nr: number): void {
  pgmap.ref -= nr;
  if (pgmap.ref === 0) complete(m, pgmap.done);
}

/**
 * percpu_ref_kill() of pgmap->ref that drops `nr` references: no new ones can be taken, and pgmap.done completes with
 * the last. NON-KERNEL.
 */
export function kill_dev_pagemap(m: Machine, pgmap: dev_pagemap, nr: number): void {
  pgmap.ref_dying = true;
  percpu_ref_put_many(m, pgmap, nr);
}

/** Returns the pgmap that maps the pfn, or null. NON-KERNEL (upstream: xa_load() of pgmap_array). */
function pgmap_at(m: Machine, pfn: number): dev_pagemap | null {
  const phys = pfn * PAGE_SIZE;
  for (const pgmap of m.pgmaps.live()) {
    if (m.device_private.offsets && pgmap.type === MEMORY_DEVICE_PRIVATE) continue;
    for (let i = 0; i < pgmap.nr_range; i++) {
      const r = pgmap.ranges[i];
      if (phys >= r.start && phys <= r.end) return pgmap;
    }
  }
  return null;
}

/**
 * Returns the pgmap of the pfn with a reference, or null if there is none or it is being unmapped (mm/memremap.c:
 * get_dev_pagemap()).
 */
export function get_dev_pagemap(m: Machine, pfn: number): dev_pagemap | null {
  const pgmap = pgmap_at(m, pfn);
  if (pgmap === null || pgmap.ref_dying) return null;
  pgmap.ref++;
  return pgmap;
}

/** Drops a reference of get_dev_pagemap() (include/linux/memremap.h: put_dev_pagemap()). */
function put_dev_pagemap(m: Machine, pgmap: dev_pagemap | null): void {
  if (pgmap !== null) percpu_ref_put_many(m, pgmap, 1);
}

/**
 * What stands in the place of a struct dev_pagemap that begins at the lru of a struct page: by the layouts of x86-64 its
 * type is the lower half of the next page's private, and its owner the flags of the page after that, which are no
 * owner's address. NON-KERNEL.
 */
function lru_as_pgmap(m: Machine, page: number): dev_pagemap {
  const pgmap = new dev_pagemap();
  pgmap.type = m.page.private[page + 1];
  pgmap.owner = pgmap;
  return pgmap;
}

/** folio->pgmap, or what a list that took its word makes of it; null for NULL. NON-KERNEL. */
function folio_pgmap(m: Machine, folio: number): dev_pagemap | null {
  const word = m.page.pgmap[folio];
  return word < 0 ? lru_as_pgmap(m, -word) : m.pgmaps.get(word);
}

/** Returns the pgmap of a device page (include/linux/mmzone.h: page_pgmap()). */
export function page_pgmap(m: Machine, page: number): dev_pagemap {
  const folio = page_folio(m, page);
  WARN_ON_ONCE(m, m.page.zone[folio] !== ZONE_DEVICE, 'page_pgmap');
  return folio_pgmap(m, folio) as dev_pagemap;
}

/** Returns true for a device folio of the MEMORY_DEVICE_* type. NON-KERNEL. */
function is_of_type(m: Machine, folio: number, type: number): boolean {
  return m.page.zone[folio] === ZONE_DEVICE && folio_pgmap(m, folio)?.type === type;
}

/** include/linux/memremap.h: folio_is_device_private() */
export function folio_is_device_private(m: Machine, folio: number): boolean {
  return is_of_type(m, folio, MEMORY_DEVICE_PRIVATE);
}

/** include/linux/memremap.h: is_device_private_page() */
export function is_device_private_page(m: Machine, page: number): boolean {
  if (page === 0) throw null_dereference(8);
  return is_of_type(m, page_folio(m, page), MEMORY_DEVICE_PRIVATE);
}

/** include/linux/memremap.h: folio_is_device_coherent() */
export function folio_is_device_coherent(m: Machine, folio: number): boolean {
  return is_of_type(m, folio, MEMORY_DEVICE_COHERENT);
}

/** include/linux/memremap.h: is_device_coherent_page() */
export function is_device_coherent_page(m: Machine, page: number): boolean {
  return is_of_type(m, page_folio(m, page), MEMORY_DEVICE_COHERENT);
}

/**
 * Returns the driver's data of a private folio, an id in place of a pointer (include/linux/memremap.h:
 * folio_zone_device_data()).
 */
export function folio_zone_device_data(m: Machine, folio: number): number {
  WARN_ON(m, !folio_is_device_private(m, folio), 'folio_zone_device_data');
  return m.page.zone_device_data[folio];
}

/** Sets the driver's data of a private folio (include/linux/memremap.h: folio_set_zone_device_data()). */
export function folio_set_zone_device_data(m: Machine, folio: number, data: number): void {
  WARN_ON(m, !folio_is_device_private(m, folio), 'folio_set_zone_device_data');
  m.page.zone_device_data[folio] = data;
}

/**
 * list_add_tail(&page->lru, &head->lru) of device pages. head->lru is no list: its words are head's pgmap and
 * zone_device_data, and what the latter points at takes the place of the last entry. NON-KERNEL.
 */
export function zone_device_lru_add_tail(m: Machine, page: number, head: number): void {
  const p = m.page;
  const prev = p.zone_device_data[head];
  const ops = folio_pgmap(m, head)?.ops;
  if (prev === 0) throw null_dereference(0);
  p.zone_device_data[head] = -page;
  p.pgmap[page] = -head;
  p.zone_device_data[page] = prev;
  if (prev < 0) p.pgmap[-prev] = -page;
  else if (ops?.overwritten !== undefined) ops.overwritten(m, head, prev, page);
  else throw new Unmodelled('lru_add_split_folio: a coherent folio whose zone_device_data is overwritten');
}

/** Calls back with runs of contiguous struct pages of [pfn, pfn+nr). NON-KERNEL. */
export function for_each_run(m: Machine, pfn: number, nr: number, fn: (page: number, nr: number) => void): void {
  while (nr > 0) {
    const n = Math.min(nr, PAGES_PER_SECTION - (pfn % PAGES_PER_SECTION));
    fn(pfn_to_page(m, pfn), n);
    pfn += n;
    nr -= n;
  }
}

/**
 * Initialises nr struct pages of free device memory with these fields. NON-KERNEL (upstream:
 * __init_zone_device_page()).
 */
export function reset_pages(
  m: Machine,
  page: number,
  nr: number,
  flags: number,
  zone: number,
  pgmap: number,
  refcount: number,
): void {
  const p = m.page;
  for (let i = page; i < page + nr; i++) if (p.flags[i] & PG_head) p.large.delete(i);
  p.flags.fill(flags, page, page + nr);
  p._refcount.fill(refcount, page, page + nr);
  p._mapcount.fill(-1, page, page + nr);
  p.compound_head.fill(0, page, page + nr);
  p.mapping.fill(0, page, page + nr);
  p.index.fill(0, page, page + nr);
  p.private.fill(0, page, page + nr);
  p.zone_device_data.fill(0, page, page + nr);
  p.lru_next.fill(0, page, page + nr);
  p.lru_prev.fill(0, page, page + nr);
  p.order.fill(0, page, page + nr);
  p.page_type.fill(PGTY_none, page, page + nr);
  p.zone.fill(zone, page, page + nr);
  p.pgmap.fill(pgmap, page, page + nr);
}

/** mm/memremap.c: pageunmap_range() */
function pageunmap_range(m: Machine, pgmap: dev_pagemap, range_id: number): void {
  const r = pgmap.ranges[range_id];
  const pfn = r.start / PAGE_SIZE;
  const nr = range_len(r) / PAGE_SIZE;
  for_each_run(m, pfn, nr, (page, n) => {
    reset_pages(m, page, n, 0, 0, 0, 0);
  });
  if (pgmap.type !== MEMORY_DEVICE_PRIVATE) m.ram.set_linear(pfn, nr, false);
}

/** Removes device memory once the last of its pages is free (mm/memremap.c: memunmap_pages()). */
export function* memunmap_pages(m: Machine, pgmap: dev_pagemap): Gen<void> {
  WARN_ON_ONCE(m, m.device_private.offsets && pgmap.type === MEMORY_DEVICE_PRIVATE, 'memunmap_pages');
  let nr = 1;
  if (pgmap.type !== MEMORY_DEVICE_PRIVATE && pgmap.type !== MEMORY_DEVICE_COHERENT) {
    for (let i = 0; i < pgmap.nr_range; i++) nr += range_len(pgmap.ranges[i]) / PAGE_SIZE;
  }
  kill_dev_pagemap(m, pgmap, nr);
  yield* wait_for_completion(m, pgmap.done);
  for (let i = 0; i < pgmap.nr_range; i++) pageunmap_range(m, pgmap, i);
  if (pgmap.id !== 0) m.pgmaps.remove(pgmap.id);
  pgmap.id = 0;
}

/** Returns the reference count of a device page that nobody uses. NON-KERNEL. */
function free_refcount(m: Machine, pgmap: dev_pagemap): number {
  return pgmap.type === MEMORY_DEVICE_GENERIC || m.patch.free_device_pages_counted ? 1 : 0;
}

/**
 * Leaves out page attribute tracking, KASAN shadow and node placement: nothing modelled can see them (mm/memremap.c:
 * pagemap_range()).
 */
function pagemap_range(m: Machine, pgmap: dev_pagemap, range_id: number): number {
  const fn = 'pagemap_range';
  const is_private = pgmap.type === MEMORY_DEVICE_PRIVATE;
  const r = pgmap.ranges[range_id];
  const start_pfn = Math.floor(r.start / PAGE_SIZE);
  const end_pfn = Math.floor(r.end / PAGE_SIZE);
  for (const pfn of [start_pfn, end_pfn]) {
    const conflict = get_dev_pagemap(m, pfn);
    if (conflict !== null) {
      WARN_ON(m, true, fn, 'Conflicting mapping in same section');
      put_dev_pagemap(m, conflict);
      return -ENOMEM;
    }
  }
  const is_ram = region_intersects(m, r.start, range_len(r), IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE);
  if (is_ram !== REGION_DISJOINT) {
    const what = is_ram === REGION_MIXED ? 'mixed' : 'ram';
    if (m.log.first(fn))
      WARN_ON(m, true, fn, `attempted on ${what} region 0x${r.start.toString(16)}-0x${r.end.toString(16)}`);
    return -ENXIO;
  }
  if (r.end > DIRECT_MAP_PHYSMEM_END) {
    printk(m, `Hotplug memory [0x${r.start.toString(16)}-0x${r.end.toString(16)}] exceeds maximum addressable range`);
    return -EINVAL;
  }
  const nr = Math.floor(range_len(r) / PAGE_SIZE);
  if (!__add_pages(m, start_pfn, nr)) return -EINVAL;

  if (pgmap.id === 0)
    m.pgmaps.add((id) => {
      pgmap.id = id;
      return pgmap;
    });
  if (!is_private) m.ram.set_linear(start_pfn, nr, true);
  const refcount = free_refcount(m, pgmap);
  for_each_run(m, start_pfn, nr, (page, n) => {
    reset_pages(m, page, n, PG_reserved, ZONE_DEVICE, pgmap.id, refcount);
  });
  if (!is_private && pgmap.type !== MEMORY_DEVICE_COHERENT) pgmap.ref += nr;
  return 0;
}

/**
 * Checks alignment; the memory map's sections appear with their first use (mm/memory_hotplug.c: __add_pages(),
 * mm/memory_hotplug.c: check_pfn_span()).
 */
function __add_pages(m: Machine, pfn: number, nr: number): boolean {
  if (pfn % PAGES_PER_SUBSECTION === 0 && nr % PAGES_PER_SUBSECTION === 0 && nr > 0) return true;
  WARN_ON(m, true, '__add_pages', 'Misaligned');
  WARN_ON_ONCE(m, true, 'add_pages');
  return false;
}

/**
 * Gives device memory struct pages, all free and the driver's to hand out; all but private memory joins the linear map.
 * Returns the physical address of the first range, -EINVAL for an incomplete pgmap (and for private memory with
 * device-private-offsets), -ENOMEM on top of other device memory, or -ENXIO on RAM (mm/memremap.c: memremap_pages()).
 * Ignores nid.
 */
export function* memremap_pages(m: Machine, pgmap: dev_pagemap, nid: number): Gen<number> {
  void nid;
  const fn = 'memremap_pages';
  const nr_range = pgmap.nr_range;
  if (nr_range === 0) {
    if (m.log.first(`${fn}:nr_range`)) WARN_ON(m, true, fn, 'nr_range must be specified');
    return -EINVAL;
  }
  switch (pgmap.type) {
    case MEMORY_DEVICE_PRIVATE:
      if (WARN_ON(m, m.device_private.offsets, fn, 'private memory has no physical addresses')) return -EINVAL;
      if (WARN_ON(m, pgmap.ops?.migrate_to_ram === undefined, fn, 'Missing migrate_to_ram method')) return -EINVAL;
      if (WARN_ON(m, pgmap.ops?.folio_free === undefined, fn, 'Missing folio_free method')) return -EINVAL;
      if (WARN_ON(m, pgmap.owner === null, fn, 'Missing owner')) return -EINVAL;
      break;
    case MEMORY_DEVICE_COHERENT:
      if (WARN_ON(m, pgmap.ops?.folio_free === undefined, fn, 'Missing folio_free method')) return -EINVAL;
      if (WARN_ON(m, pgmap.owner === null, fn, 'Missing owner')) return -EINVAL;
      break;
    case MEMORY_DEVICE_FS_DAX:
    case MEMORY_DEVICE_GENERIC:
    case MEMORY_DEVICE_PCI_P2PDMA:
      break;
    default:
      WARN_ON(m, true, fn, `Invalid pgmap type ${pgmap.type}`);
  }
  pgmap.done = new completion('dev_pagemap');
  pgmap.ref = 1;
  pgmap.ref_dying = false;
  pgmap.nr_range = 0;
  for (let i = 0; i < nr_range; i++) {
    const error = pagemap_range(m, pgmap, i);
    if (error !== 0) {
      yield* memunmap_pages(m, pgmap);
      pgmap.nr_range = nr_range;
      return error;
    }
    pgmap.nr_range++;
  }
  return pgmap.range.start;
}

/** Makes a device page no part of a mapping. NON-KERNEL. */
function clear_mapping(m: Machine, page: number): void {
  if (!m.patch.device_page_keeps_mapping) m.page.mapping[page] = 0;
}

/** The checks of a device folio that is uncharged (mm/memcontrol.c: uncharge_folio()). */
function uncharge_folio(m: Machine, folio: number): void {
  BUG_ON(folio_test_lru(m, folio), 'mm/memcontrol.c: uncharge_folio()');
  if (m.page.flags[folio] & PG_head) WARN_ON_ONCE(m, folio_unqueue_deferred_split(m, folio), 'uncharge_folio');
}

/** Uncharges a device folio; only one with a mapping was charged (include/linux/memcontrol.h: mem_cgroup_uncharge()). */
function mem_cgroup_uncharge(m: Machine, folio: number): void {
  if (m.page.mapping[folio] !== 0) uncharge_folio(m, folio);
}

/** Takes a device folio off the deferred split queue, if that is proposed. NON-KERNEL. */
function unqueue_before_uncharge(m: Machine, folio: number): void {
  if (m.patch.frees_device_folio_unqueued && m.page.flags[folio] & PG_head) folio_unqueue_deferred_split(m, folio);
}

/** Returns a device folio without references to its driver (mm/memremap.c: free_zone_device_folio()). */
export function free_zone_device_folio(m: Machine, folio: number): void {
  const p = m.page;
  const pgmap = folio_pgmap(m, folio);
  if (WARN_ON_ONCE(m, pgmap === null, 'free_zone_device_folio', 'pgmap') || pgmap === null) return;
  const nr = folio_nr_pages(m, folio);
  unqueue_before_uncharge(m, folio);
  mem_cgroup_uncharge(m, folio);
  if (p.mapping[folio] & FOLIO_MAPPING_ANON) {
    if (nr > 1 && !m.patch.freed_device_folio_counted) mod_mthp_stat(m, folio_order(m, folio), MTHP_STAT_NR_ANON, -1);
    for (let i = folio; i < folio + nr; i++) p.flags[i] &= ~PG_anon_exclusive;
  }
  if (pgmap.type !== MEMORY_DEVICE_FS_DAX && pgmap.type !== MEMORY_DEVICE_GENERIC) clear_mapping(m, folio);
  switch (pgmap.type) {
    case MEMORY_DEVICE_PRIVATE:
    case MEMORY_DEVICE_COHERENT:
    case MEMORY_DEVICE_PCI_P2PDMA: {
      const folio_free = pgmap.ops?.folio_free;
      if (WARN_ON_ONCE(m, folio_free === undefined, 'free_zone_device_folio', 'folio_free') || folio_free === undefined)
        return;
      folio_free(m, folio);
      p._refcount[folio] = free_refcount(m, pgmap);
      if (pgmap.type !== MEMORY_DEVICE_PCI_P2PDMA) percpu_ref_put_many(m, pgmap, nr);
      return;
    }
    case MEMORY_DEVICE_GENERIC:
      p._refcount[folio] = 1;
  }
}

/** Clears what free device pages keep of a former folio (mm/memremap.c: zone_device_page_init()). */
function reinitialize(m: Machine, page: number, pgmap: dev_pagemap, nr: number): void {
  const p = m.page;
  const refcount = free_refcount(m, pgmap);
  // The first tail page holds its folio's order upstream, so clearing the tail clears the order.
  if (p.flags[page - 1] & PG_head && p.zone[page - 1] === ZONE_DEVICE) p.order[page - 1] = 0;
  for (let i = page; i < page + nr; i++) {
    const flags = p.flags[i];
    if (flags & PG_head) {
      p.large.delete(i);
      p.order[i] = 0;
    }
    p.flags[i] = flags & ~(PAGE_FLAGS_FIRST_BYTE | PAGE_FLAGS_SECOND);
    clear_mapping(m, i);
    p.compound_head[i] = 0;
    p.pgmap[i] = pgmap.id;
    if (p._refcount[i] > refcount) WARN_ON(m, true, 'zone_device_page_init', 'page has references');
    if (p.zone[i] !== ZONE_DEVICE) WARN_ON(m, true, 'zone_device_page_init', 'not a device page');
  }
}

/** Makes 2^order free device pages a folio with one reference, locked (mm/memremap.c: zone_device_page_init()). */
function zone_device_page_init(m: Machine, page: number, pgmap: dev_pagemap, order: number): void {
  const nr = 1 << order;
  const as_it_is = m.patch.device_page_init_as_it_is;
  if (!as_it_is) reinitialize(m, page, pgmap, nr);
  if (!WARN_ON_ONCE(m, pgmap.ref === 0, 'zone_device_page_init', 'pgmap is gone')) pgmap.ref += nr;
  m.page._refcount[page] = 1;
  __folio_set_locked(m, as_it_is ? page_folio(m, page) : page);
  if (order > 0) prep_compound_page(m, page, order);
}

/** zone_device_page_init() that marks a large folio rmappable (include/linux/memremap.h: zone_device_folio_init()). */
export function zone_device_folio_init(m: Machine, folio: number, pgmap: dev_pagemap, order: number): void {
  zone_device_page_init(m, folio, pgmap, order);
  if (order > 0) m.page.flags[folio] |= PG_large_rmappable;
}

/**
 * Tells the driver that a private folio was split: new_folio is a new part, 0 means the original
 * (include/linux/memremap.h: zone_device_private_split_cb()).
 */
export function zone_device_private_split_cb(m: Machine, original_folio: number, new_folio: number): void {
  if (!folio_is_device_private(m, original_folio)) {
    const coherent = m.patch.splits_coherent_as_device && folio_is_device_coherent(m, original_folio);
    if (coherent && new_folio !== 0) m.page.pgmap[new_folio] = m.page.pgmap[original_folio];
    return;
  }
  const folio_split = page_pgmap(m, original_folio).ops?.folio_split;
  if (folio_split !== undefined) {
    folio_split(m, original_folio, new_folio);
  } else if (new_folio !== 0) {
    m.page.pgmap[new_folio] = m.page.pgmap[original_folio];
    m.page.mapping[new_folio] = m.page.mapping[original_folio];
  }
}
