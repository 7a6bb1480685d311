// SPDX-License-Identifier: GPL-2.0-only
// Test driver whose user chooses the offsets of its device-private pages, so that an offset can equal the pfn of
// another page. NON-KERNEL throughout.

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBUSY, EFAULT, EINVAL, ENODEV, ENOMEM } from '../errno.ts';
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
import { stable_page_flags } from '../fs/proc/page.ts';
import type { Gen } from '../kernel/gen.ts';
import type { Module, ModuleParams } from '../kernel/module.ts';
import { memremap_device_private_pagemap, memunmap_device_private_pagemap } from '../mm/device_private.ts';
import { folio_lock } from '../mm/filemap/folio_lock.ts';
import { put_page } from '../mm/folio.ts';
import { get_user_pages } from '../mm/gup/gup.ts';
import { dev_pagemap, MEMORY_DEVICE_PRIVATE, zone_device_folio_init } from '../mm/memremap.ts';
import {
  migrate_pfn_from_page,
  MIGRATE_PFN_MIGRATE,
  migrate_pfn_to_page,
  MIGRATE_PFN_WRITE,
  migrate_vma,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
} from '../mm/migrate_device/migrate_vma.ts';
import {
  migrate_device_finalize,
  migrate_device_pages,
  migrate_device_pfns,
  migrate_vma_finalize,
  migrate_vma_pages,
  migrate_vma_setup,
} from '../mm/migrate_device/pages.ts';
import { type mm_struct, type vm_area_struct, type vm_fault, VM_FAULT_OOM, VM_FAULT_SIGBUS } from '../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import { page_to_pfn } from '../mm/page.ts';
import { folio_alloc, GFP_HIGHUSER_MOVABLE } from '../mm/page_alloc.ts';
import { page_mapped_in_vma } from '../mm/page_vma_mapped.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { vma_lookup } from '../mm/vma/vma.ts';

const NAME = 'offset_driver';

/** Argument of an ioctl: u64 address and u64 number. */
const OFFSET_ARG = { size: 16, addr: 0, number: 8 } as const;
/**
 * Migrates the page at addr to the device page with offset `number`. Returns 0, -EINVAL, -EBUSY if that page is in use,
 * or -ENOMEM.
 */
const OFFSET_PUT = 1;
/** Migrates all device pages to system memory, wherever they are mapped. Takes no argument. A 2 would be FIGETBSZ. */
const OFFSET_EVICT = 5;
/** Stores in `number` the address at which the vma of addr maps the page, or 0 (page_mapped_in_vma()). */
const OFFSET_FIND = 3;
/** Stores in `number` the KPF_* bits of the device page with offset `number` (stable_page_flags()). */
const OFFSET_FLAGS = 4;

class offset_state {
  readonly cdev = new cdev();
  readonly device = new device();
  readonly pagemap = new dev_pagemap();
  /** contents of the pages in use, by page */
  readonly contents = new Map<number, Uint8Array>();
  devt = 0;
}

function state_of(m: Machine): offset_state {
  return m.modules.data.get(NAME) as offset_state;
}

function one_page(s: offset_state, vma: vm_area_struct, addr: number, flags: number): migrate_vma {
  const args = new migrate_vma();
  args.vma = vma;
  args.src = new Float64Array(1);
  args.dst = new Float64Array(1);
  args.start = addr - (addr % PAGE_SIZE);
  args.end = args.start + PAGE_SIZE;
  args.pgmap_owner = s;
  args.flags = flags;
  return args;
}

function* put(m: Machine, s: offset_state, mm: mm_struct, addr: number, offset: number): Gen<number> {
  const vma = vma_lookup(mm, addr);
  if (vma === null || offset >= s.pagemap.nr_pages) return -EINVAL;
  const page = s.pagemap.pages + offset;
  if (s.contents.has(page)) return -EBUSY;
  const args = one_page(s, vma, addr, MIGRATE_VMA_SELECT_SYSTEM);
  const ret = yield* migrate_vma_setup(m, args);
  if (ret !== 0) return ret;
  const src = (args.src as Float64Array)[0];
  const spage = migrate_pfn_to_page(m, src);
  if (src & MIGRATE_PFN_MIGRATE && spage !== 0) {
    zone_device_folio_init(m, page, s.pagemap, 0);
    s.contents.set(page, m.ram.bytes(page_to_pfn(m, spage)).slice());
    (args.dst as Float64Array)[0] = migrate_pfn_from_page(m, page) + (src & MIGRATE_PFN_WRITE);
  }
  yield* migrate_vma_pages(m, args);
  const moved = ((args.src as Float64Array)[0] & MIGRATE_PFN_MIGRATE) !== 0 && spage !== 0;
  yield* migrate_vma_finalize(m, args);
  return moved ? 0 : -ENOMEM;
}

/** Returns the migration entry of a new system page with the contents of the device page; 0 without memory. */
function* take_back(m: Machine, s: offset_state, src: number): Gen<number> {
  const dpage = folio_alloc(m, GFP_HIGHUSER_MOVABLE, 0);
  if (dpage === 0) return 0;
  yield* folio_lock(m, dpage);
  m.ram.bytes(page_to_pfn(m, dpage)).set(s.contents.get(migrate_pfn_to_page(m, src)) as Uint8Array);
  return migrate_pfn_from_page(m, dpage) + (src & MIGRATE_PFN_WRITE);
}

function* evict(m: Machine, s: offset_state): Gen<number> {
  const src = Float64Array.from([...s.contents.keys()], (page) => migrate_pfn_from_page(m, page));
  const dst = new Float64Array(src.length);
  yield* migrate_device_pfns(m, src, src.length);
  for (let i = 0; i < src.length; i++) {
    const mpfn = src[i];
    if (mpfn & MIGRATE_PFN_MIGRATE) dst[i] = yield* take_back(m, s, mpfn);
  }
  yield* migrate_device_pages(m, src, dst, src.length);
  yield* migrate_device_finalize(m, src, dst, src.length);
  return 0;
}

function* find(m: Machine, mm: mm_struct, addr: number): Gen<number> {
  const pages = new Int32Array(1);
  const got = yield* get_user_pages(m, addr, 1, 0, pages);
  if (got < 0) return got;
  const page = pages[0];
  const found = yield* page_mapped_in_vma(m, page, vma_lookup(mm, addr) as vm_area_struct);
  put_page(m, page);
  return found < 0 ? 0 : found;
}

function* offset_ioctl(m: Machine, _filp: file, command: number, arg: number): Gen<number> {
  const s = state_of(m);
  if (command === OFFSET_EVICT) return yield* evict(m, s);
  const bytes = new Uint8Array(OFFSET_ARG.size);
  if ((yield* copy_from_user(m, bytes, arg, bytes.length)) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const addr = Number(view.getBigUint64(OFFSET_ARG.addr, true));
  const number = Number(view.getBigUint64(OFFSET_ARG.number, true));
  const mm = m.current.mm as mm_struct;
  let ret: number;
  if (command === OFFSET_FLAGS) {
    ret = number < s.pagemap.nr_pages ? stable_page_flags(m, s.pagemap.pages + number) : -EINVAL;
  } else {
    yield* mmap_read_lock(m, mm);
    if (command === OFFSET_PUT) ret = yield* put(m, s, mm, addr, number);
    else ret = command === OFFSET_FIND ? yield* find(m, mm, addr) : -EINVAL;
    mmap_read_unlock(m, mm);
  }
  if (ret < 0 || command === OFFSET_PUT) return ret;
  view.setBigUint64(OFFSET_ARG.number, BigInt(ret), true);
  return (yield* copy_to_user(m, arg, bytes, bytes.length)) !== 0 ? -EFAULT : 0;
}

const fops: file_operations = {
  unlocked_ioctl: offset_ioctl,
};

function* migrate_to_ram(m: Machine, vmf: vm_fault): Gen<number> {
  const s = state_of(m);
  const args = one_page(s, vmf.vma, vmf.address, MIGRATE_VMA_SELECT_DEVICE_PRIVATE);
  args.fault_page = vmf.page;
  if ((yield* migrate_vma_setup(m, args)) !== 0) return VM_FAULT_SIGBUS;
  const src = (args.src as Float64Array)[0];
  let ret = 0;
  if (src & MIGRATE_PFN_MIGRATE) {
    const dst = yield* take_back(m, s, src);
    (args.dst as Float64Array)[0] = dst;
    if (dst === 0) ret = VM_FAULT_OOM;
    else yield* migrate_vma_pages(m, args);
  }
  yield* migrate_vma_finalize(m, args);
  return ret;
}

function* offset_init(m: Machine, params: ModuleParams): Gen<number> {
  if (!m.device_private.offsets) return -ENODEV;
  const s = new offset_state();
  const { pagemap } = s;
  pagemap.type = MEMORY_DEVICE_PRIVATE;
  pagemap.nr_pages = Number(params.pages ?? 32768);
  pagemap.owner = s;
  pagemap.ops = { folio_free: (_m, folio) => void s.contents.delete(folio), migrate_to_ram };
  const err = memremap_device_private_pagemap(m, pagemap, Number(params.nid ?? 0));
  if (err !== 0) return err;
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt + MKDEV(0, 0);
  dev_set_name(s.device, 'offsets');
  m.modules.data.set(NAME, s);
  return cdev_device_add(m, s.cdev, s.device);
}

function* offset_exit(m: Machine): Gen<void> {
  const s = state_of(m);
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  yield* memunmap_device_private_pagemap(m, s.pagemap);
  m.modules.data.delete(NAME);
}

/**
 * The module: /dev/offsets with the OFFSET_* ioctls. Parameters: pages (32768 by default) and nid, the node of the
 * memory (0 by default; -1 is NUMA_NO_NODE). Loading fails with -ENODEV without state device-private-offsets.
 */
export const offset_driver: Module = {
  name: NAME,
  params: ['pages', 'nid'],
  init: offset_init,
  exit: offset_exit,
  users: () => 0,
  held_folios: () => undefined,
};
