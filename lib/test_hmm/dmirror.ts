// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { ENOENT, ENOMEM } from '../errno.ts';
import { cdev, device } from '../fs/char_dev.ts';
import { done, type Gen } from '../kernel/gen.ts';
import { mutex, mutex_lock, mutex_trylock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { spin_lock_leaf, spinlock } from '../kernel/locking/spinlock.ts';
import { null_dereference } from '../kernel/null_pointer.ts';
import { Oops } from '../kernel/printk.ts';
import { preempt_point } from '../kernel/sched/core.ts';
import { type dev_pagemap, is_device_private_page, page_pgmap } from '../mm/memremap.ts';
import {
  mmu_interval_notifier,
  type mmu_interval_notifier_ops,
  mmu_interval_set_seq,
  type mmu_notifier_range,
  mmu_notifier_range_blockable,
  MMU_NOTIFY_MIGRATE,
} from '../mm/mmu_notifier.ts';
import { page_folio, page_to_pfn } from '../mm/page.ts';
import { PAGE_SIZE, PageBuffer } from '../mm/contents.ts';
import { Unmodelled } from '../unmodelled.ts';
import { HMM_DMIRROR_MEMORY_DEVICE_PRIVATE } from './uapi.ts';

export const DMIRROR_NDEVICES = 4;
export const DEVMEM_CHUNK_SIZE = 256 * 1024 * 1024;
export const DEVMEM_CHUNKS_RESERVE = 16;

/** The page may only be accessed atomically. */
export const DPT_XA_TAG_ATOMIC = 1;
/** The device may write to the page. */
export const DPT_XA_TAG_WRITE = 3;

/** Modelled cost of copying a page, in ns. */
export const COPY_PAGE_NS = 150;

/**
 * Page table of a mirror. An entry is `page * 4 + tag` for the struct page that the device uses and a DPT_XA_TAG_*; 0
 * is empty. NON-KERNEL: upstream's dmirror->pt is an xarray. Allocated in pieces of 512 entries.
 */
export class device_page_table {
  private readonly pieces = new Map<number, Int32Array>();

  /** Returns the entry of a page number of the address space. */
  load(pfn: number): number {
    const piece = this.pieces.get(Math.floor(pfn / 512));
    return piece === undefined ? 0 : piece[pfn % 512];
  }
  store(pfn: number, page: number, tag: number): void {
    const at = Math.floor(pfn / 512);
    let piece = this.pieces.get(at);
    if (piece === undefined) this.pieces.set(at, (piece = new Int32Array(512)));
    piece[pfn % 512] = page * 4 + tag;
  }
  /** Clears the entries from first to last, inclusive. */
  erase(first: number, last: number): void {
    const from = Math.floor(first / 512);
    const to = Math.floor(last / 512);
    if (from === to) {
      this.pieces.get(from)?.fill(0, first % 512, (last % 512) + 1);
      return;
    }
    const all = to - from >= this.pieces.size;
    for (const at of all ? this.pieces.keys() : [from, to]) {
      if (at < from || at > to) continue;
      this.pieces.get(at)?.fill(0, at === from ? first % 512 : 0, at === to ? (last % 512) + 1 : 512);
    }
    if (!all) for (let at = from + 1; at < to; at++) this.pieces.get(at)?.fill(0);
  }
  /** Returns true if an entry from first to last, inclusive, has the tag. */
  has_tag(first: number, last: number, tag: number): boolean {
    for (const [at, piece] of this.pieces) {
      if (at * 512 > last || at * 512 + 511 < first) continue;
      for (let i = 0; i < 512; i++) {
        const pfn = at * 512 + i;
        if (pfn >= first && pfn <= last && xa_pointer_tag(piece[i]) === tag) return true;
      }
    }
    return false;
  }
}

/** Returns the page of a page table entry, 0 if it is empty (include/linux/xarray.h: xa_untag_pointer()). */
export function xa_untag_pointer(entry: number): number {
  return entry >> 2;
}

/** Returns the DPT_XA_TAG_* of a page table entry (include/linux/xarray.h: xa_pointer_tag()). */
export function xa_pointer_tag(entry: number): number {
  return entry & 3;
}

/** An open device: mirrors the address space of the task that opened it (lib/test_hmm.c: struct dmirror). */
export class dmirror {
  /** Value of zone_device_data that refers to this mirror; see BACKING_PAGE(). */
  readonly id: number;
  mdevice: dmirror_device;
  readonly pt = new device_page_table();
  readonly notifier = new mmu_interval_notifier();
  readonly mutex = new mutex('dmirror->mutex');
  /** HMM_DMIRROR_FLAG_*. */
  flags = 0;
  constructor(id: number, mdevice: dmirror_device) {
    this.id = id;
    this.mdevice = mdevice;
    this.notifier.container = this;
  }
}

/** 256 MiB of device memory (lib/test_hmm.c: struct dmirror_chunk). */
export class dmirror_chunk {
  readonly pagemap: dev_pagemap;
  readonly mdevice: dmirror_device;
  /** Its pages must not be allocated again. */
  remove = false;
  constructor(pagemap: dev_pagemap, mdevice: dmirror_device) {
    this.pagemap = pagemap;
    this.mdevice = mdevice;
  }
}

/** One of the driver's devices (lib/test_hmm.c: struct dmirror_device). */
export class dmirror_device {
  readonly cdevice = new cdev();
  readonly device = new device();
  private readonly type: number;
  readonly mod: test_hmm_state;
  devmem_capacity = 0;
  private chunks: dmirror_chunk[] | null = null;
  readonly devmem_lock = new mutex('devmem_lock');
  /** Numbers of pages allocated and freed so far. */
  calloc = 0;
  cfree = 0;
  /** First free device page. Each page's zone_device_data is the next one; 0 ends the list. */
  free_pages = 0;
  /** First free 2 MiB device folio, linked like free_pages. */
  free_folios = 0;
  readonly lock = new spinlock('mdevice->lock');
  constructor(mod: test_hmm_state, zone_device_type: number) {
    this.mod = mod;
    this.type = zone_device_type;
  }
  /** HMM_DMIRROR_MEMORY_DEVICE_*. */
  get zone_device_type(): number {
    return this.type;
  }
  /** Null until the first chunk is allocated; upstream's devmem_count is its length. */
  get devmem_chunks(): dmirror_chunk[] | null {
    return this.chunks;
  }
  set devmem_chunks(chunks: dmirror_chunk[] | null) {
    this.chunks = chunks;
  }
  /** spin_lock(&mdevice->lock) from code that may wait. NON-KERNEL. */
  lock_free_lists(m: Machine): Gen<void> {
    return m.sched.explore ? this.lock_free_lists_slowpath(m) : done(spin_lock_leaf(m, this.lock));
  }
  /** The part of lock_free_lists() that may wait. NON-KERNEL. */
  private *lock_free_lists_slowpath(m: Machine): Gen<void> {
    yield* preempt_point(m, 'mdevice->lock');
    spin_lock_leaf(m, this.lock);
  }
}

/**
 * What stands in the place of a struct dmirror_device that begins at the lru of a struct page: by the layouts of x86-64
 * its zone_device_type is the _mapcount of the page after it, and its lock the second word of the tenth after it, which
 * reads as held for as long as that is an address. NON-KERNEL.
 */
class lru_as_dmirror_device extends dmirror_device {
  private readonly m: Machine;
  private readonly page: number;
  constructor(m: Machine, page: number, mod: test_hmm_state) {
    super(mod, 0);
    this.m = m;
    this.page = page;
  }
  override get zone_device_type(): number {
    return this.m.page._mapcount[this.page + 1];
  }
  override get devmem_chunks(): dmirror_chunk[] | null {
    throw new Unmodelled('struct dmirror_device: devmem_chunks of one that struct pages stand in for');
  }
  override *lock_free_lists(m: Machine): Gen<void> {
    while (m.page.zone_device_data[this.page + 10] !== 0) yield { what: 'mdevice->lock, which struct pages overwrote' };
    throw new Unmodelled('struct dmirror_device: free_pages of one that struct pages stand in for');
  }
}

/** Makes the address of a struct page's lru the mdevice, the first member, of the mirror with that number. NON-KERNEL. */
export function overwrite_mdevice(m: Machine, mod: test_hmm_state, id: number, page: number): void {
  const d = mod.dmirrors.get(id);
  if (d === undefined) throw new Oops('BUG: KASAN: slab-use-after-free: the dmirror of a device page was closed');
  d.mdevice = new lru_as_dmirror_device(m, page, mod);
}

/** State of the loaded module. NON-KERNEL: upstream's static variables. */
export class test_hmm_state {
  dmirror_dev = 0;
  readonly spm_addr_dev0: number;
  readonly spm_addr_dev1: number;
  readonly dmirror_devices: dmirror_device[] = [];
  /** Open mirrors by id. */
  readonly dmirrors = new Map<number, dmirror>();
  next_id = 1;
  constructor(spm_addr_dev0: number, spm_addr_dev1: number) {
    this.spm_addr_dev0 = spm_addr_dev0;
    this.spm_addr_dev1 = spm_addr_dev1;
  }
}

/** Returns true for a device whose memory the CPU cannot address (lib/test_hmm.c: dmirror_is_private_zone()). */
export function dmirror_is_private_zone(mdevice: dmirror_device): boolean {
  return mdevice.zone_device_type === HMM_DMIRROR_MEMORY_DEVICE_PRIVATE;
}

/**
 * Returns struct page's zone_device_data: the next free page, the page that backs a private one, or a mirror's id.
 * NON-KERNEL: a member access.
 */
export function zone_device_data(m: Machine, page: number): number {
  return m.page.zone_device_data[page];
}

/** Sets struct page's zone_device_data. NON-KERNEL: a member access. */
export function set_zone_device_data(m: Machine, page: number, data: number): void {
  if (page === 0) throw null_dereference(16);
  m.page.zone_device_data[page] = data;
}

/**
 * Returns the system page that backs a private device page; a coherent page backs itself
 * (lib/test_hmm.c: BACKING_PAGE()).
 */
export function BACKING_PAGE(m: Machine, page: number): number {
  return is_device_private_page(m, page) ? zone_device_data(m, page) : page;
}

/**
 * Returns BACKING_PAGE() of any page of a device folio; only the head of a private folio refers to its backing folio.
 * NON-KERNEL.
 */
export function backing_page_in_folio(m: Machine, page: number): number {
  const folio = page_folio(m, page);
  return BACKING_PAGE(m, folio) + (page - folio);
}

/**
 * Returns the mirror that a backing page belongs to; oopses if it was freed. NON-KERNEL: upstream follows a pointer.
 */
export function page_to_dmirror(m: Machine, mod: test_hmm_state, rpage: number): dmirror {
  if (rpage === 0) throw null_dereference(16);
  const id = zone_device_data(m, rpage);
  if (id === 0) throw null_dereference(0);
  const d = mod.dmirrors.get(id);
  if (d === undefined) throw new Oops('BUG: KASAN: slab-use-after-free: the dmirror of a device page was closed');
  return d;
}

/** Oopses if the mirror was closed, and so freed, while a fault used it. NON-KERNEL: a use after free upstream. */
export function check_dmirror(d: dmirror): void {
  if (d.mdevice.mod.dmirrors.get(d.id) !== d)
    throw new Oops('BUG: KASAN: slab-use-after-free: the dmirror was closed during a fault');
}

/** Returns the chunk that contains a device page (lib/test_hmm.c: dmirror_page_to_chunk()). */
export function dmirror_page_to_chunk(m: Machine, page: number): dmirror_chunk {
  const pgmap = page_pgmap(m, page);
  const chunk = (pgmap.owner as dmirror_device).devmem_chunks?.find((c) => c.pagemap === pgmap);
  if (chunk === undefined) throw new Oops('BUG: KASAN: slab-use-after-free: the chunk of a device page was removed');
  return chunk;
}

/** Returns the device that a device page belongs to (lib/test_hmm.c: dmirror_page_to_device()). */
export function dmirror_page_to_device(m: Machine, page: number): dmirror_device {
  return page_pgmap(m, page).owner as dmirror_device;
}

/** Kernel buffer through which an ioctl copies pages (lib/test_hmm.c: struct dmirror_bounce). */
export class dmirror_bounce {
  readonly size: number;
  readonly addr: number;
  cpages = 0;
  readonly ptr = new PageBuffer();
  constructor(addr: number, size: number) {
    this.addr = addr;
    this.size = size;
  }
}

/**
 * Returns a bounce buffer for `size` bytes from `addr` on, or -ENOMEM if it is larger than all memory
 * (lib/test_hmm.c: dmirror_bounce_init()).
 */
export function dmirror_bounce_init(m: Machine, addr: number, size: number): dmirror_bounce | number {
  const pages = size / PAGE_SIZE;
  if (pages > m.zone.managed_pages) return -ENOMEM;
  if (pages > m.zone.nr_free) throw new Unmodelled('vmalloc: more than free memory, which wakes the OOM killer');
  return new dmirror_bounce(addr, size);
}

/** Frees a bounce buffer (lib/test_hmm.c: dmirror_bounce_fini()). */
export function dmirror_bounce_fini(bounce: dmirror_bounce): void {
  bounce.ptr.free();
}

/**
 * Removes the pages of an invalidated range from the page table. Like upstream it also removes the page after the
 * range: xa_for_each_range() includes its end (lib/test_hmm.c: dmirror_do_update()).
 */
function dmirror_do_update(d: dmirror, start: number, end: number): void {
  d.pt.erase(Math.floor(start / PAGE_SIZE), Math.floor(end / PAGE_SIZE));
}

/** Handles an invalidation; ignores migrations by this device (lib/test_hmm.c: dmirror_interval_invalidate()). */
function* dmirror_interval_invalidate(
  m: Machine,
  mni: mmu_interval_notifier,
  range: mmu_notifier_range,
  cur_seq: number,
): Gen<boolean> {
  const d = mni.container as dmirror;
  if (range.event === MMU_NOTIFY_MIGRATE && range.owner === d.mdevice) return true;
  if (mmu_notifier_range_blockable(range)) yield* mutex_lock(m, d.mutex);
  else if (!mutex_trylock(m, d.mutex)) return false;
  mmu_interval_set_seq(mni, cur_seq);
  dmirror_do_update(d, range.start, range.end);
  mutex_unlock(m, d.mutex);
  return true;
}

/** Subscription of the whole address space (lib/test_hmm.c: dmirror_min_ops). */
export const dmirror_min_ops: mmu_interval_notifier_ops = {
  invalidate: dmirror_interval_invalidate,
};

/**
 * Copies the mirrored pages [start, end) to the bounce buffer and counts them in cpages. Returns 0, or -ENOENT at the
 * first page that the mirror lacks. A private page has no kernel address, so it oopses
 * (lib/test_hmm.c: dmirror_do_read()).
 */
export function dmirror_do_read(m: Machine, d: dmirror, start: number, end: number, bounce: dmirror_bounce): number {
  let at = start - bounce.addr;
  const last = end / PAGE_SIZE;
  for (let pfn = start / PAGE_SIZE; pfn < last; ) {
    const page = xa_untag_pointer(d.pt.load(pfn));
    if (page === 0) return -ENOENT;
    // Consecutive pages, as of a huge page, are copied at once.
    let nr = 1;
    while (pfn + nr < last && xa_untag_pointer(d.pt.load(pfn + nr)) === page + nr) nr++;
    m.ram.read(page_to_pfn(m, page), nr, bounce.ptr, at);
    m.sched.spend(COPY_PAGE_NS * nr);
    bounce.cpages += nr;
    pfn += nr;
    at += nr * PAGE_SIZE;
  }
  return 0;
}

/**
 * Copies the bounce buffer to the mirrored pages. Returns 0, or -ENOENT at the first page that the mirror lacks or must
 * not write (lib/test_hmm.c: dmirror_do_write()).
 */
export function dmirror_do_write(m: Machine, d: dmirror, start: number, end: number, bounce: dmirror_bounce): number {
  let at = start - bounce.addr;
  for (let pfn = start / PAGE_SIZE; pfn < end / PAGE_SIZE; pfn++, at += PAGE_SIZE) {
    const entry = d.pt.load(pfn);
    const page = xa_untag_pointer(entry);
    if (page === 0 || xa_pointer_tag(entry) !== DPT_XA_TAG_WRITE) return -ENOENT;
    m.ram.write(page_to_pfn(m, page), bounce.ptr, at);
    m.sched.spend(COPY_PAGE_NS);
    bounce.cpages++;
  }
  return 0;
}
