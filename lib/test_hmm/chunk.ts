// SPDX-License-Identifier: GPL-2.0-only

import { PAGE_SIZE } from '../mm/physmem.ts';
import { HPAGE_PMD_NR } from '../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../machine.ts';
import { EINVAL, ENOMEM } from '../errno.ts';
import { MINOR } from '../fs/char_dev.ts';
import { done, type Gen } from '../kernel/gen.ts';
import { mutex_lock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { spin_lock_leaf, spin_unlock } from '../kernel/locking/spinlock.ts';
import { null_dereference, null_pointer } from '../kernel/null_pointer.ts';
import { printk, WARN_ON } from '../kernel/printk.ts';
import { release_mem_region, request_free_mem_region } from '../kernel/resource.ts';
import { preempt_point } from '../kernel/sched/core.ts';
import {
  device_private_page_to_offset,
  memremap_device_private_pagemap,
  memunmap_device_private_pagemap,
} from '../mm/device_private.ts';
import { lock_page } from '../mm/filemap/folio_lock.ts';
import {
  dev_pagemap,
  type dev_pagemap_ops,
  folio_zone_device_data,
  is_device_coherent_page,
  is_device_private_page,
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_PRIVATE,
  memremap_pages,
  memunmap_pages,
  page_pgmap,
  zone_device_folio_init,
} from '../mm/memremap.ts';
import {
  migrate_pfn,
  MIGRATE_PFN_COMPOUND,
  migrate_pfn_from_page,
  MIGRATE_PFN_MIGRATE,
  migrate_pfn_to_page,
  MIGRATE_PFN_WRITE,
} from '../mm/migrate_device/migrate_vma.ts';
import { migrate_device_finalize, migrate_device_pages, migrate_device_range } from '../mm/migrate_device/pages.ts';
import { ClearPageHead } from '../mm/page-flags.ts';
import { folio_nr_pages, folio_order, folio_page, page_folio, page_to_pfn, pfn_to_page } from '../mm/page.ts';
import {
  __free_pages,
  __GFP_NOFAIL,
  alloc_page,
  folio_alloc,
  GFP_HIGHUSER,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
} from '../mm/page_alloc.ts';
import { kcalloc, kvcalloc, kvfree } from '../mm/slub.ts';
import { folio_copy } from '../mm/util.ts';
import { Unmodelled } from '../unmodelled.ts';
import {
  BACKING_PAGE,
  COPY_PAGE_NS,
  DEVMEM_CHUNK_SIZE,
  DEVMEM_CHUNKS_RESERVE,
  type dmirror,
  dmirror_chunk,
  type dmirror_device,
  dmirror_is_private_zone,
  dmirror_page_to_chunk,
  dmirror_page_to_device,
  overwrite_mdevice,
  set_zone_device_data,
  zone_device_data,
} from './dmirror.ts';
import { dmirror_devmem_fault } from './migrate.ts';
import { HMM_DMIRROR_MEMORY_DEVICE_COHERENT, HMM_DMIRROR_MEMORY_DEVICE_PRIVATE } from './uapi.ts';

const HPAGE_PMD_ORDER = 9;
const MIB = 1024 * 1024;

/**
 * Takes the first folio (2 MiB) or page off the device's free list; 0 if the list is empty. NON-KERNEL: lines that
 * upstream's driver repeats.
 */
function take_free(m: Machine, mdevice: dmirror_device, is_large: boolean): number {
  const page = is_large ? mdevice.free_folios : mdevice.free_pages;
  if (page === 0) return 0;
  const next = zone_device_data(m, page);
  if (is_large) mdevice.free_folios = next;
  else mdevice.free_pages = next;
  mdevice.calloc += is_large ? HPAGE_PMD_NR : 1;
  return page;
}

/** Puts a page or folio at the head of its free list. NON-KERNEL: lines that upstream's driver repeats. */
function put_free(m: Machine, mdevice: dmirror_device, page: number, is_large: boolean): void {
  set_zone_device_data(m, page, is_large ? mdevice.free_folios : mdevice.free_pages);
  if (is_large) mdevice.free_folios = page;
  else mdevice.free_pages = page;
}

/**
 * Splits a free folio, if there is one, into free pages and takes the first of them. NON-KERNEL: a part of upstream's
 * dmirror_devmem_alloc_page().
 */
function split_free_folio(m: Machine, mdevice: dmirror_device): number {
  const folio = mdevice.free_folios;
  if (folio === 0) return 0;
  mdevice.free_folios = zone_device_data(m, folio);
  // Its last user left it a compound page.
  const p = m.page;
  ClearPageHead(m, folio);
  p.order[folio] = 0;
  p.large.delete(folio);
  p.compound_head.fill(0, folio + 1, folio + HPAGE_PMD_NR);
  for (let page = folio + HPAGE_PMD_NR - 1; page >= folio; page--) put_free(m, mdevice, page, false);
  return take_free(m, mdevice, false);
}

/**
 * Returns the physical address of a coherent device's memory, which depends on its number. NON-KERNEL: a line of
 * upstream's dmirror_allocate_chunk().
 */
function coherent_range_start(m: Machine, mdevice: dmirror_device): number {
  const devt = m.patch.coherent_range_by_cdev ? mdevice.cdevice.dev : mdevice.device.devt;
  return MINOR(devt) - 2 !== 0 ? mdevice.mod.spm_addr_dev0 : mdevice.mod.spm_addr_dev1;
}

/**
 * Adds 256 MiB of device memory, as 2 MiB folios or as pages, and takes the first of them if `ppage` is given. Returns
 * 0, -ENOMEM, -EINVAL or the error of memremap_pages() (lib/test_hmm.c: dmirror_allocate_chunk()).
 */
export function* dmirror_allocate_chunk(
  m: Machine,
  mdevice: dmirror_device,
  ppage: { page: number } | null,
  is_large: boolean,
): Gen<number> {
  const pagemap = new dev_pagemap();
  const range = pagemap.range;
  const by_offset = mdevice.zone_device_type === HMM_DMIRROR_MEMORY_DEVICE_PRIVATE && m.device_private.offsets;
  if (by_offset) {
    pagemap.nr_pages = DEVMEM_CHUNK_SIZE / PAGE_SIZE;
    pagemap.type = MEMORY_DEVICE_PRIVATE;
  } else if (mdevice.zone_device_type === HMM_DMIRROR_MEMORY_DEVICE_PRIVATE) {
    const res = request_free_mem_region(m, null, DEVMEM_CHUNK_SIZE, 'hmm_dmirror');
    if (typeof res === 'number') return -ENOMEM;
    range.start = res.start;
    range.end = res.end;
    pagemap.type = MEMORY_DEVICE_PRIVATE;
  } else if (mdevice.zone_device_type === HMM_DMIRROR_MEMORY_DEVICE_COHERENT) {
    range.start = coherent_range_start(m, mdevice);
    range.end = range.start + DEVMEM_CHUNK_SIZE - 1;
    pagemap.type = MEMORY_DEVICE_COHERENT;
  } else {
    return -EINVAL;
  }
  // A coherent device has the one range only.
  if (pagemap.type === MEMORY_DEVICE_COHERENT && mdevice.devmem_chunks !== null && m.patch.one_coherent_chunk)
    return -ENOMEM;
  pagemap.nr_range = 1;
  pagemap.ops = dmirror_devmem_ops;
  pagemap.owner = mdevice;

  yield* mutex_lock(m, mdevice.devmem_lock);
  const chunks = (mdevice.devmem_chunks ??= []);
  if (chunks.length === mdevice.devmem_capacity) mdevice.devmem_capacity += DEVMEM_CHUNKS_RESERVE;
  const err = by_offset ? memremap_device_private_pagemap(m, pagemap, 0) : yield* memremap_pages(m, pagemap, 0);
  if (err < 0) {
    mutex_unlock(m, mdevice.devmem_lock);
    if (pagemap.type === MEMORY_DEVICE_PRIVATE && !by_offset)
      release_mem_region(m, range.start, range.end - range.start + 1);
    return err;
  }
  const pfn_first = range.start / PAGE_SIZE;
  const pfn_last = pfn_first + (range.end + 1 - range.start) / PAGE_SIZE;
  chunks.push(new dmirror_chunk(pagemap, mdevice));
  mutex_unlock(m, mdevice.devmem_lock);

  const mb = DEVMEM_CHUNK_SIZE / MIB;
  printk(
    m,
    `added new ${mb} MB chunk (total ${chunks.length} chunks, ${chunks.length * mb} MB) ` +
      `PFNs [0x${pfn_first.toString(16)} 0x${pfn_last.toString(16)})`,
  );

  spin_lock_leaf(m, mdevice.lock);
  for (let pfn = pfn_first; pfn < pfn_last; ) {
    const large = is_large && pfn % HPAGE_PMD_NR === 0 && pfn + HPAGE_PMD_NR <= pfn_last;
    put_free(m, mdevice, by_offset ? m.device_private.offset_to_page(pfn) : pfn_to_page(m, pfn), large);
    pfn += large ? HPAGE_PMD_NR : 1;
  }
  let ret = 0;
  if (ppage !== null) {
    ppage.page = take_free(m, mdevice, is_large);
    if (ppage.page === 0) ret = -ENOMEM;
  }
  spin_unlock(m, mdevice.lock);
  return ret;
}

/**
 * Returns a locked device page, or 2 MiB device folio, with one reference and, on a private device, system memory to
 * back it; 0 without either kind of memory (lib/test_hmm.c: dmirror_devmem_alloc_page()).
 */
export function dmirror_devmem_alloc_page(m: Machine, d: dmirror, is_large: boolean): Gen<number> {
  const { mdevice } = d;
  const none = (is_large ? mdevice.free_folios : mdevice.free_pages) === 0;
  if (m.sched.explore || none) return dmirror_devmem_alloc_page_slowpath(m, d, is_large);
  const order = is_large ? HPAGE_PMD_ORDER : 0;
  const rpage = dmirror_is_private_zone(mdevice) ? folio_alloc(m, GFP_HIGHUSER, order) : 0;
  if (rpage === 0 && dmirror_is_private_zone(mdevice)) return done(0);
  spin_lock_leaf(m, mdevice.lock);
  const dpage = take_free(m, mdevice, is_large);
  spin_unlock(m, mdevice.lock);
  return done(init_page(m, dpage, rpage, order));
}

/** Gives a free device page its user. NON-KERNEL: the end of upstream's dmirror_devmem_alloc_page(). */
function init_page(m: Machine, dpage: number, rpage: number, order: number): number {
  zone_device_folio_init(m, page_folio(m, dpage), page_pgmap(m, folio_page(page_folio(m, dpage), 0)), order);
  set_zone_device_data(m, dpage, rpage);
  return dpage;
}

/** The part of dmirror_devmem_alloc_page() that may sleep. NON-KERNEL. */
function* dmirror_devmem_alloc_page_slowpath(m: Machine, d: dmirror, is_large: boolean): Gen<number> {
  const mdevice = d.mdevice;
  const order = is_large ? HPAGE_PMD_ORDER : 0;
  let rpage = 0;
  if (dmirror_is_private_zone(mdevice)) {
    rpage = folio_alloc(m, GFP_HIGHUSER, order);
    if (rpage === 0) return 0;
  }
  yield* mdevice.lock_free_lists(m);
  let dpage = take_free(m, mdevice, is_large);
  if (dpage === 0 && !is_large && rpage === 0 && m.patch.one_coherent_chunk) dpage = split_free_folio(m, mdevice);
  spin_unlock(m, mdevice.lock);
  if (dpage === 0) {
    const got = { page: 0 };
    if ((yield* dmirror_allocate_chunk(m, mdevice, got, is_large)) !== 0) {
      if (rpage !== 0) __free_pages(m, rpage, order);
      return 0;
    }
    dpage = got.page;
  }
  return init_page(m, dpage, rpage, order);
}

/**
 * Returns the range of the chunk's pfns, or offsets, that contains all pages in use; an eviction need not look at the
 * others. NON-KERNEL: upstream walks the whole chunk.
 */
function pfns_in_use(m: Machine, pagemap: dev_pagemap): { first: number; npages: number } {
  const start_pfn = Math.floor(pagemap.range.start / PAGE_SIZE);
  let first = start_pfn;
  let end = start_pfn;
  let last = start_pfn;
  m.device_private.for_each_run(pagemap, (page, n, pfn) => {
    const at = pfn - page;
    m.page.for_each_referenced(page, page + n, (used) => {
      if (end === start_pfn) first = at + used;
      end = at + used + folio_nr_pages(m, page_folio(m, used));
    });
    last = pfn + n;
  });
  return { first, npages: Math.min(end, last) - first };
}

/**
 * Returns an array of an eviction, whose first entry is that of page `at` of the chunk; NULL where the allocation may
 * fail and does. NON-KERNEL: a line of upstream's dmirror_device_evict_chunk().
 */
function eviction_pfns(m: Machine, npages: number, at: number): Float64Array {
  if (!m.patch.eviction_may_lack_memory) return kvcalloc(m, npages, GFP_KERNEL | __GFP_NOFAIL);
  return kcalloc(m, npages, GFP_KERNEL) ?? null_pointer<Float64Array>((i) => (at + Number(i)) * 8);
}

/**
 * Migrates every page of the chunk that is in use to system memory, as far as possible
 * (lib/test_hmm.c: dmirror_device_evict_chunk()).
 */
export function* dmirror_device_evict_chunk(m: Machine, chunk: dmirror_chunk): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, 'dmirror_device_evict_chunk');
  const { first: start_pfn, npages } = pfns_in_use(m, chunk.pagemap);
  const { offsets, mpfn_flag } = m.device_private;
  const flag = chunk.pagemap.type === MEMORY_DEVICE_PRIVATE ? mpfn_flag : 0;
  const start = offsets ? migrate_pfn(start_pfn) + flag : start_pfn;
  const src_pfns = eviction_pfns(m, npages, 0);
  const dst_pfns = eviction_pfns(m, npages, start_pfn - Math.floor(chunk.pagemap.range.start / PAGE_SIZE));
  // Upstream's array is that of the whole chunk, which migrate_device_range() writes from its first page on.
  src_pfns[0] = 0;
  yield* migrate_device_range(m, src_pfns, start, npages);
  for (let i = 0; i < npages; i++) {
    const src = src_pfns[i];
    if ((src & MIGRATE_PFN_MIGRATE) === 0) continue;
    let spage = migrate_pfn_to_page(m, src);
    if (spage === 0) continue;
    if (
      WARN_ON(m, !is_device_private_page(m, spage) && !is_device_coherent_page(m, spage), 'dmirror_device_evict_chunk')
    )
      continue;
    let order = folio_order(m, page_folio(m, spage));
    spage = BACKING_PAGE(m, spage);
    let dpage: number;
    if (src & MIGRATE_PFN_COMPOUND) {
      dpage = folio_alloc(m, GFP_HIGHUSER_MOVABLE, order);
    } else {
      dpage = alloc_page(m, GFP_HIGHUSER_MOVABLE);
      if (dpage === 0) throw new Unmodelled('alloc_page: __GFP_NOFAIL without free memory');
      order = 0;
    }
    if (dpage === 0) throw null_dereference(8);
    yield* lock_page(m, dpage);
    dst_pfns[i] = migrate_pfn_from_page(m, dpage) + (src & MIGRATE_PFN_WRITE) + (order > 0 ? MIGRATE_PFN_COMPOUND : 0);
    folio_copy(m, page_folio(m, dpage), page_folio(m, spage));
    m.sched.spend(COPY_PAGE_NS * folio_nr_pages(m, page_folio(m, spage)));
  }
  yield* migrate_device_pages(m, src_pfns, dst_pfns, npages);
  yield* migrate_device_finalize(m, src_pfns, dst_pfns, npages);
  kvfree(m, src_pfns);
  kvfree(m, dst_pfns);
}

/** Removes the chunk's pages from the free lists (lib/test_hmm.c: dmirror_remove_free_pages()). */
function dmirror_remove_free_pages(m: Machine, devmem: dmirror_chunk): void {
  const mdevice = devmem.mdevice;
  for (let folio = mdevice.free_folios; folio !== 0; folio = folio_zone_device_data(m, folio)) {
    if (page_pgmap(m, folio) === devmem.pagemap) mdevice.free_folios = folio_zone_device_data(m, folio);
  }
  for (let page = mdevice.free_pages; page !== 0; page = zone_device_data(m, page)) {
    if (page_pgmap(m, page) === devmem.pagemap) mdevice.free_pages = zone_device_data(m, page);
  }
}

/** Evicts and unmaps all of the device's memory (lib/test_hmm.c: dmirror_device_remove_chunks()). */
export function* dmirror_device_remove_chunks(m: Machine, mdevice: dmirror_device): Gen<void> {
  yield* mutex_lock(m, mdevice.devmem_lock);
  if (mdevice.devmem_chunks !== null) {
    for (const devmem of mdevice.devmem_chunks) {
      if (m.sched.explore) yield* preempt_point(m, 'mdevice->lock');
      spin_lock_leaf(m, mdevice.lock);
      devmem.remove = true;
      dmirror_remove_free_pages(m, devmem);
      spin_unlock(m, mdevice.lock);
      yield* dmirror_device_evict_chunk(m, devmem);
      const is_private = devmem.pagemap.type === MEMORY_DEVICE_PRIVATE;
      if (is_private && m.device_private.offsets) {
        yield* memunmap_device_private_pagemap(m, devmem.pagemap);
        continue;
      }
      yield* memunmap_pages(m, devmem.pagemap);
      const range = devmem.pagemap.range;
      if (is_private) release_mem_region(m, range.start, range.end - range.start + 1);
    }
    mdevice.devmem_capacity = 0;
    mdevice.free_pages = 0;
    mdevice.free_folios = 0;
    mdevice.devmem_chunks = null;
  }
  mutex_unlock(m, mdevice.devmem_lock);
}

/**
 * Puts a device folio on the free list after its last reference was dropped, and frees its backing memory
 * (lib/test_hmm.c: dmirror_devmem_free()).
 */
function dmirror_devmem_free(m: Machine, folio: number): void {
  const page = folio;
  const rpage = BACKING_PAGE(m, page);
  if (rpage === 0) throw null_dereference(8);
  const order = folio_order(m, page_folio(m, rpage));
  if (rpage !== page) __free_pages(m, rpage, order);
  const mdevice = dmirror_page_to_device(m, page);
  spin_lock_leaf(m, mdevice.lock);
  if (!dmirror_page_to_chunk(m, page).remove) {
    mdevice.cfree += 1 << order;
    put_free(m, mdevice, page, order > 0);
  }
  spin_unlock(m, mdevice.lock);
}

/**
 * Called when a device folio is split: gives each new folio `tail` its share of the memory that backs `head`, and with
 * tail 0 makes the head's backing folio a single page (lib/test_hmm.c: dmirror_devmem_folio_split()).
 */
function dmirror_devmem_folio_split(m: Machine, head: number, tail: number): void {
  const p = m.page;
  const rpage = BACKING_PAGE(m, folio_page(head, 0));
  if (rpage === 0) {
    set_zone_device_data(m, tail, 0);
    return;
  }
  const rfolio = page_folio(m, rpage);
  if (tail === 0) {
    // Upstream's folio_reset_order(). The tails have already left the compound page.
    WARN_ON(m, folio_order(m, rfolio) === 0, 'folio_reset_order');
    ClearPageHead(m, rfolio);
    p.order[rfolio] = 0;
    p.large.delete(rfolio);
    p.mapping[rfolio] = 0;
    p._refcount[rfolio] = 1;
    return;
  }
  let offset: number;
  if (m.device_private.by_offset(head)) {
    // pgmap shares its word with compound_head, which was set until now.
    p.pgmap[tail] = m.patch.split_tail_without_pgmap ? 0 : p.pgmap[head];
    offset = device_private_page_to_offset(m, tail) - device_private_page_to_offset(m, head);
  } else {
    offset = page_to_pfn(m, tail) - page_to_pfn(m, head);
  }
  const rpage_tail = folio_page(rfolio, offset);
  p.zone_device_data[tail] = rpage_tail;
  p.zone_device_data[rpage_tail] = p.zone_device_data[rpage];
  p.compound_head[rpage_tail] = 0;
  p.mapping[rpage_tail] = 0;
  p.mapping[tail] = p.mapping[head];
  p.pgmap[tail] = p.pgmap[head];
  p._refcount[page_folio(m, rpage_tail)] = 1;
}

/** Callbacks for device memory (lib/test_hmm.c: dmirror_devmem_ops). */
const dmirror_devmem_ops: dev_pagemap_ops = {
  folio_free: dmirror_devmem_free,
  migrate_to_ram: dmirror_devmem_fault,
  folio_split: dmirror_devmem_folio_split,
  overwritten: (m, folio, id, page) => {
    overwrite_mdevice(m, dmirror_page_to_device(m, folio).mod, id, page);
  },
};
