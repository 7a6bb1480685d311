// SPDX-License-Identifier: GPL-2.0-only
// Test driver whose device-private memory never migrates back: every CPU access to it raises SIGBUS. NON-KERNEL
// throughout.

import type { Machine } from '../machine.ts';
import { EINVAL, ENOMEM } from '../errno.ts';
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
import {
  dev_pagemap,
  MEMORY_DEVICE_PRIVATE,
  memremap_pages,
  memunmap_pages,
  zone_device_folio_init,
} from '../mm/memremap.ts';
import {
  migrate_pfn,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_WRITE,
  migrate_vma,
  MIGRATE_VMA_SELECT_SYSTEM,
} from '../mm/migrate_device/migrate_vma.ts';
import { migrate_vma_finalize, migrate_vma_pages, migrate_vma_setup } from '../mm/migrate_device/pages.ts';
import { type mm_struct, VM_FAULT_SIGBUS } from '../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import { page_to_pfn, pfn_to_page } from '../mm/page.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { vma_lookup } from '../mm/vma/vma.ts';

const NAME = 'sigbus_driver';
const SIZE = 128 * 1024 * 1024;
const PAGES = 16;

class sigbus_state {
  readonly cdev = new cdev();
  readonly device = new device();
  readonly pagemap = new dev_pagemap();
  readonly free: number[] = [];
  devt = 0;
}

function state_of(m: Machine): sigbus_state {
  return m.modules.data.get(NAME) as sigbus_state;
}

/** Migrates the page at the address to the device; its contents are lost. Returns 0 or a negative errno. */
function* sigbus_ioctl(m: Machine, _filp: file, _command: number, addr: number): Gen<number> {
  const s = state_of(m);
  const mm = m.current.mm as mm_struct;
  yield* mmap_read_lock(m, mm);
  const args = new migrate_vma();
  args.vma = vma_lookup(mm, addr);
  args.src = new Float64Array(1);
  args.dst = new Float64Array(1);
  args.start = addr;
  args.end = addr + PAGE_SIZE;
  args.pgmap_owner = s;
  args.flags = MIGRATE_VMA_SELECT_SYSTEM;
  let ret = args.vma === null ? -EINVAL : yield* migrate_vma_setup(m, args);
  if (ret === 0) {
    const src = args.src[0];
    const page = src & MIGRATE_PFN_MIGRATE ? (s.free.pop() ?? 0) : 0;
    if (page !== 0) {
      zone_device_folio_init(m, page, s.pagemap, 0);
      args.dst[0] = migrate_pfn(page_to_pfn(m, page)) + (src & MIGRATE_PFN_WRITE);
    }
    yield* migrate_vma_pages(m, args);
    if ((args.src[0] & MIGRATE_PFN_MIGRATE) === 0) ret = -ENOMEM;
    yield* migrate_vma_finalize(m, args);
  }
  mmap_read_unlock(m, mm);
  return ret;
}

const fops: file_operations = {
  unlocked_ioctl: sigbus_ioctl,
};

function* sigbus_init(m: Machine): Gen<number> {
  const s = new sigbus_state();
  const res = request_free_mem_region(m, null, SIZE, NAME);
  if (typeof res === 'number') return res;
  const { pagemap } = s;
  pagemap.range.start = res.start;
  pagemap.range.end = res.end;
  pagemap.type = MEMORY_DEVICE_PRIVATE;
  pagemap.nr_range = 1;
  pagemap.owner = s;
  pagemap.ops = {
    folio_free: (_m, folio) => void s.free.push(folio),

    *migrate_to_ram() {
      return VM_FAULT_SIGBUS;
    },
  };
  const err = yield* memremap_pages(m, pagemap, 0);
  if (err < 0) return err;
  for (let i = 0; i < PAGES; i++) s.free.push(pfn_to_page(m, res.start / PAGE_SIZE + i));
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt + MKDEV(0, 0);
  dev_set_name(s.device, 'sigbus');
  m.modules.data.set(NAME, s);
  return cdev_device_add(m, s.cdev, s.device);
}

function* sigbus_exit(m: Machine): Gen<void> {
  const s = state_of(m);
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  yield* memunmap_pages(m, s.pagemap);
  release_mem_region(m, s.pagemap.range.start, SIZE);
  m.modules.data.delete(NAME);
}

/** The module: /dev/sigbus, whose ioctls take an address and migrate the page there to the device. */
export const sigbus_driver: Module = {
  name: NAME,
  params: [],
  init: sigbus_init,
  exit: sigbus_exit,
  users: () => 0,
  held_folios: () => undefined,
};
