// SPDX-License-Identifier: GPL-2.0-only
// Test driver with 2 MiB of device-private memory, allocated as single pages or as one folio, as GPU drivers do. It
// migrates a range completely or not at all. NON-KERNEL throughout.

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBUSY, EFAULT, EINVAL } from '../errno.ts';
import {
  alloc_chrdev_region,
  cdev,
  cdev_device_add,
  cdev_device_del,
  cdev_init,
  dev_set_name,
  device,
  device_initialize,
  MKDEV,
  unregister_chrdev_region,
} from '../fs/char_dev.ts';
import type { file, file_operations } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import type { Module } from '../kernel/module.ts';
import { release_mem_region, request_free_mem_region } from '../kernel/resource.ts';
import { lock_page } from '../mm/filemap/folio_lock.ts';
import {
  dev_pagemap,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PRIVATE,
  memremap_pages,
  memunmap_pages,
  zone_device_folio_init,
} from '../mm/memremap.ts';
import {
  migrate_pfn,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  migrate_pfn_to_page,
  MIGRATE_PFN_WRITE,
  migrate_vma,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
} from '../mm/migrate_device/migrate_vma.ts';
import { migrate_vma_finalize, migrate_vma_pages, migrate_vma_setup } from '../mm/migrate_device/pages.ts';
import { type mm_struct, type vm_fault, VM_FAULT_OOM, VM_FAULT_SIGBUS } from '../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import { folio_nr_pages, folio_order, page_folio, page_to_pfn, pfn_to_page } from '../mm/page.ts';
import { folio_alloc, GFP_HIGHUSER_MOVABLE } from '../mm/page_alloc.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { vma_lookup } from '../mm/vma/vma.ts';

const NAME = 'block_driver';
const SIZE = 128 * 1024 * 1024;
const BLOCK = 512;
const BLOCK_ORDER = 9;
const BOTH = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND;

/**
 * struct block_cmd: u64 addr of the first page, u64 npages (1 to 512, in one vma), u32 order (0, or 9 for one huge
 * page), u32 cpages, written: the number of entries that can migrate.
 */
export const BLOCK_CMD = { size: 24, addr: 0, npages: 8, order: 16, cpages: 20 } as const;
/** Migrates the range to the device. Returns 0, or -EBUSY if not all of it can migrate. */
export const BLOCK_TO_DEVICE = 0;
/** Migrates the device pages of the range to system memory. */
export const BLOCK_TO_SYSTEM = 1;
/**
 * Offers a MEMORY_DEVICE_GENERIC page, which user space must not get, as the destination of the first page. Returns 0,
 * or -EINVAL if it is refused. A 2 would be FIGETBSZ.
 */
export const BLOCK_TO_GENERIC = 3;

class block_state {
  readonly cdev = new cdev();
  readonly device = new device();
  readonly pagemap = new dev_pagemap();
  readonly generic = new dev_pagemap();
  /** First struct page of the device memory. */
  first = 0;
  readonly used = new Uint8Array(BLOCK);
  /** Contents of the device's pages. */
  readonly contents = new Uint8Array(BLOCK * PAGE_SIZE);
  devt = 0;
}

function state_of(m: Machine): block_state {
  return m.modules.data.get(NAME) as block_state;
}

/** Returns the lowest free 2^order device pages as a locked folio with one reference; 0 if there are none. */
function block_alloc(m: Machine, s: block_state, order: number): number {
  const i = order > 0 ? (s.used.includes(1) ? -1 : 0) : s.used.indexOf(0);
  if (i < 0) return 0;
  s.used.fill(1, i, i + (1 << order));
  zone_device_folio_init(m, s.first + i, s.pagemap, order);
  return s.first + i;
}

function block_free(m: Machine, folio: number): void {
  const s = state_of(m);
  const i = folio - s.first;
  s.used.fill(0, i, i + folio_nr_pages(m, folio));
}

function device_bytes(s: block_state, page: number): Uint8Array {
  return s.contents.subarray((page - s.first) * PAGE_SIZE, (page - s.first + 1) * PAGE_SIZE);
}

function new_migration(s: block_state, mm: mm_struct, addr: number, npages: number, flags: number): migrate_vma {
  const args = new migrate_vma();
  args.vma = vma_lookup(mm, addr);
  args.src = new Float64Array(npages);
  args.dst = new Float64Array(npages);
  args.start = addr;
  args.end = addr + npages * PAGE_SIZE;
  args.pgmap_owner = s;
  args.flags = flags;
  return args;
}

function* to_device(m: Machine, s: block_state, args: migrate_vma, order: number): Gen<number> {
  const src = args.src as Float64Array;
  const dst = args.dst as Float64Array;
  let ret = yield* migrate_vma_setup(m, args);
  if (ret !== 0) return ret;
  if (args.cpages === dst.length >> order) {
    for (let i = 0; i < dst.length; i += 1 << order) {
      const v = src[i];
      if (order > 0 && (v & BOTH) !== BOTH) continue;
      const page = block_alloc(m, s, order);
      if (page === 0) continue;
      const from = migrate_pfn_to_page(m, v);
      for (let k = 0; k < 1 << order; k++) {
        if (from === 0) device_bytes(s, page + k).fill(0);
        else device_bytes(s, page + k).set(m.ram.bytes(page_to_pfn(m, from) + k));
      }
      dst[i] = migrate_pfn(page_to_pfn(m, page)) + (v & MIGRATE_PFN_WRITE) + (order > 0 ? MIGRATE_PFN_COMPOUND : 0);
    }
  } else ret = -EBUSY;
  yield* migrate_vma_pages(m, args);
  yield* migrate_vma_finalize(m, args);
  return ret;
}

/** Fills the destinations with system pages. Returns 0 or VM_FAULT_OOM. */
function* fill_system(m: Machine, s: block_state, args: migrate_vma): Gen<number> {
  const src = args.src as Float64Array;
  const dst = args.dst as Float64Array;
  for (let i = 0; i < src.length; i++) {
    const v = src[i];
    const page = migrate_pfn_to_page(m, v);
    if (page === 0 || (v & MIGRATE_PFN_MIGRATE) === 0) continue;
    const order = folio_order(m, page_folio(m, page));
    const folio = folio_alloc(m, GFP_HIGHUSER_MOVABLE, order);
    if (folio === 0) return VM_FAULT_OOM;
    yield* lock_page(m, folio);
    const pfn = page_to_pfn(m, folio);
    for (let k = 0; k < 1 << order; k++) m.ram.bytes(pfn + k).set(device_bytes(s, page + k));
    dst[i] = migrate_pfn(pfn) + (v & MIGRATE_PFN_WRITE) + (order > 0 ? MIGRATE_PFN_COMPOUND : 0);
  }
  return 0;
}

function* to_system(m: Machine, s: block_state, args: migrate_vma): Gen<number> {
  const ret = yield* migrate_vma_setup(m, args);
  if (ret !== 0) return ret;
  yield* fill_system(m, s, args);
  yield* migrate_vma_pages(m, args);
  yield* migrate_vma_finalize(m, args);
  return 0;
}

function* to_generic(m: Machine, s: block_state, args: migrate_vma): Gen<number> {
  let ret = yield* migrate_vma_setup(m, args);
  if (ret !== 0) return ret;
  const page = pfn_to_page(m, s.generic.range.start / PAGE_SIZE);
  yield* lock_page(m, page);
  (args.dst as Float64Array)[0] = migrate_pfn(page_to_pfn(m, page));
  yield* migrate_vma_pages(m, args);
  if (((args.src as Float64Array)[0] & MIGRATE_PFN_MIGRATE) === 0) ret = -EINVAL;
  yield* migrate_vma_finalize(m, args);
  return ret;
}

function* block_ioctl(m: Machine, _filp: file, command: number, arg: number): Gen<number> {
  const bytes = new Uint8Array(BLOCK_CMD.size);
  if ((yield* copy_from_user(m, bytes, arg, bytes.length)) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const addr = view.getUint32(BLOCK_CMD.addr + 4, true) * 2 ** 32 + view.getUint32(BLOCK_CMD.addr, true);
  const npages = view.getUint32(BLOCK_CMD.npages, true);
  const order = view.getUint32(BLOCK_CMD.order, true);
  if (npages < 1 || npages > BLOCK || (order !== 0 && (order !== BLOCK_ORDER || npages !== BLOCK))) return -EINVAL;

  const s = state_of(m);
  const mm = m.current.mm as mm_struct;
  const flags =
    (command === BLOCK_TO_SYSTEM ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE : MIGRATE_VMA_SELECT_SYSTEM) |
    (order > 0 ? MIGRATE_VMA_SELECT_COMPOUND : 0);
  yield* mmap_read_lock(m, mm);
  const args = new_migration(s, mm, addr, npages, flags);
  let ret = -EINVAL;
  if (command === BLOCK_TO_DEVICE) ret = yield* to_device(m, s, args, order);
  else if (command === BLOCK_TO_SYSTEM) ret = yield* to_system(m, s, args);
  else if (command === BLOCK_TO_GENERIC) ret = yield* to_generic(m, s, args);
  mmap_read_unlock(m, mm);
  view.setUint32(BLOCK_CMD.cpages, args.cpages, true);
  if ((yield* copy_to_user(m, arg, bytes, bytes.length)) !== 0) return -EFAULT;
  return ret;
}

function* block_migrate_to_ram(m: Machine, vmf: vm_fault): Gen<number> {
  const s = state_of(m);
  const order = vmf.pte !== null ? 0 : folio_order(m, page_folio(m, vmf.page));
  const start = vmf.address - (vmf.address % (PAGE_SIZE << order));
  const flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE | (order > 0 ? MIGRATE_VMA_SELECT_COMPOUND : 0);
  const args = new_migration(s, vmf.vma.vm_mm, start, 1 << order, flags);
  args.fault_page = vmf.page;
  if ((yield* migrate_vma_setup(m, args)) !== 0) return VM_FAULT_SIGBUS;
  const ret = yield* fill_system(m, s, args);
  if (ret === 0) yield* migrate_vma_pages(m, args);
  yield* migrate_vma_finalize(m, args);
  return ret;
}

const fops: file_operations = {
  unlocked_ioctl: block_ioctl,
};

/** Maps device memory of a type. Returns 0 or a negative errno. */
function* map_memory(m: Machine, s: block_state, pagemap: dev_pagemap, type: number): Gen<number> {
  const res = request_free_mem_region(m, null, SIZE, NAME);
  if (typeof res === 'number') return res;
  pagemap.range.start = res.start;
  pagemap.range.end = res.end;
  pagemap.type = type;
  pagemap.nr_range = 1;
  pagemap.owner = s;
  pagemap.ops = { folio_free: block_free, migrate_to_ram: block_migrate_to_ram };
  const ret = yield* memremap_pages(m, pagemap, 0);
  return ret < 0 ? ret : 0;
}

function* block_init(m: Machine): Gen<number> {
  const s = new block_state();
  m.modules.data.set(NAME, s);
  let ret = yield* map_memory(m, s, s.pagemap, MEMORY_DEVICE_PRIVATE);
  if (ret === 0) ret = yield* map_memory(m, s, s.generic, MEMORY_DEVICE_GENERIC);
  if (ret !== 0) return ret;
  s.first = pfn_to_page(m, s.pagemap.range.start / PAGE_SIZE);
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt + MKDEV(0, 0);
  dev_set_name(s.device, 'block');
  return cdev_device_add(m, s.cdev, s.device);
}

function* block_exit(m: Machine): Gen<void> {
  const s = state_of(m);
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  for (const pagemap of [s.pagemap, s.generic]) {
    yield* memunmap_pages(m, pagemap);
    release_mem_region(m, pagemap.range.start, SIZE);
  }
  m.modules.data.delete(NAME);
}

/** The module: /dev/block with the BLOCK_* ioctls on a struct block_cmd. */
export const block_driver: Module = {
  name: NAME,
  params: [],
  init: block_init,
  exit: block_exit,
  users: () => 0,
  held_folios: (m, held) => {
    // A free page of generic device memory has one reference, held by its driver.
    const { start } = state_of(m).generic.range;
    for (let i = 0; i < SIZE / PAGE_SIZE; i++) held(pfn_to_page(m, start / PAGE_SIZE + i));
  },
};
