// SPDX-License-Identifier: GPL-2.0-only
// Test driver that treats a page by its pfn, as memory offlining and reclaim do. NON-KERNEL throughout.

import type { Machine } from '../machine.ts';
import { EBUSY, EINVAL } from '../errno.ts';
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
import { folio_lock, folio_unlock } from '../mm/filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../mm/folio.ts';
import { get_user_pages } from '../mm/gup/gup.ts';
import { FOLL_GET } from '../mm/gup/pin.ts';
import {
  alloc_migration_target,
  isolate_folio_to_list,
  migrate_pages,
  MIGRATE_SYNC,
  MR_MEMORY_HOTPLUG,
  putback_movable_pages,
} from '../mm/migrate/pages.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import { folio_test_lru, folio_test_unevictable } from '../mm/page-flags.ts';
import { folio_try_get, page_folio, PageList } from '../mm/page.ts';
import { DEFINE_FOLIO_VMA_WALK, page_vma_mapped_walk, page_vma_mapped_walk_done } from '../mm/page_vma_mapped.ts';
import { folio_mapped } from '../mm/rmap/rmap.ts';
import { rmap_walk } from '../mm/rmap/walk.ts';

const NAME = 'pfn_driver';

/** Remembers the page at address arg without a reference. */
export const PFN_REMEMBER = 0;
/**
 * Migrates the remembered page's folio, as memory offlining does. Returns 0, the number of pages that stayed, or -EBUSY
 * if the folio is not on an LRU list.
 */
export const PFN_MIGRATE = 1;
/** Returns what reclaim would see of the remembered page's folio: PFN_*. A 2 would be FIGETBSZ. */
export const PFN_LOOK = 3;

/** Reclaim would call try_to_unmap(). */
export const PFN_MAPPED = 1;
/** try_to_unmap() would find a page table entry. */
export const PFN_FOUND = 2;
/** The folio is on an LRU list. */
export const PFN_LRU = 4;
const PFN_UNEVICTABLE = 8;

class pfn_state {
  readonly cdev = new cdev();
  readonly device = new device();
  devt = 0;
  page = 0;
}

function state_of(m: Machine): pfn_state {
  return m.modules.data.get(NAME) as pfn_state;
}

function* remember(m: Machine, addr: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const page = new Int32Array(1);
  yield* mmap_read_lock(m, mm);
  const got = yield* get_user_pages(m, addr, 1, FOLL_GET, page);
  mmap_read_unlock(m, mm);
  if (got < 0) return got;
  state_of(m).page = page[0];
  folio_put(m, page_folio(m, page[0]));
  yield* lru_add_drain_all(m);
  return 0;
}

/**
 * Drains the LRU batches first, as offline_pages() does by lru_cache_disable(): their references would prevent
 * migration.
 */
function* migrate(m: Machine, folio: number): Gen<number> {
  yield* lru_add_drain_all(m);
  const list = new PageList();
  const isolated = isolate_folio_to_list(m, folio, list);
  folio_put(m, folio);
  if (!isolated) return -EBUSY;
  const ret = yield* migrate_pages(m, list, alloc_migration_target, null, MIGRATE_SYNC, MR_MEMORY_HOTPLUG);
  putback_movable_pages(m, list);
  return ret;
}

function* look(m: Machine, folio: number): Gen<number> {
  let found = false;
  yield* folio_lock(m, folio);
  yield* rmap_walk(m, folio, {
    *rmap_one(_m, f, vma, address) {
      const pvmw = DEFINE_FOLIO_VMA_WALK(m, f, vma, address, 0);
      if (!(yield* page_vma_mapped_walk(m, pvmw))) return true;
      found = true;
      page_vma_mapped_walk_done(m, pvmw);
      return false;
    },
  });
  const ret =
    (folio_mapped(m, folio) ? PFN_MAPPED : 0) +
    (found ? PFN_FOUND : 0) +
    (folio_test_lru(m, folio) ? PFN_LRU : 0) +
    (folio_test_unevictable(m, folio) ? PFN_UNEVICTABLE : 0);
  folio_unlock(m, folio);
  folio_put(m, folio);
  return ret;
}

function* pfn_ioctl(m: Machine, _filp: file, command: number, arg: number): Gen<number> {
  if (command === PFN_REMEMBER) return yield* remember(m, arg);
  const { page } = state_of(m);
  const folio = page === 0 ? 0 : page_folio(m, page);
  if (folio === 0 || !folio_try_get(m, folio)) return -EINVAL;
  if (command === PFN_MIGRATE) return yield* migrate(m, folio);
  if (command === PFN_LOOK) return yield* look(m, folio);
  folio_put(m, folio);
  return -EINVAL;
}

const fops: file_operations = {
  unlocked_ioctl: pfn_ioctl,
};

function* pfn_init(m: Machine): Gen<number> {
  const s = new pfn_state();
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt + MKDEV(0, 0);
  dev_set_name(s.device, 'pfn');
  m.modules.data.set(NAME, s);
  return cdev_device_add(m, s.cdev, s.device);
}

function* pfn_exit(m: Machine): Gen<void> {
  const s = state_of(m);
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  m.modules.data.delete(NAME);
}

/** The module: /dev/pfn with the ioctls PFN_REMEMBER, PFN_MIGRATE and PFN_LOOK. */
export const pfn_driver: Module = {
  name: NAME,
  params: [],
  init: pfn_init,
  exit: pfn_exit,
  users: () => 0,
  held_folios: () => undefined,
};
