// SPDX-License-Identifier: GPL-2.0-only
// Test driver that reports which pages migrate_vma_setup() selects for given flags and owner. NON-KERNEL throughout.

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL } from '../errno.ts';
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
import { migrate_vma } from '../mm/migrate_device/migrate_vma.ts';
import { migrate_vma_finalize, migrate_vma_pages, migrate_vma_setup } from '../mm/migrate_device/pages.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { vma_lookup } from '../mm/vma/vma.ts';
import { test_hmm_state } from '../test_hmm/dmirror.ts';

const NAME = 'select_driver';
const MAX_PAGES = 512;

/**
 * struct select_cmd: u64 addr of the first page, u64 npages (1 to 512, in one vma), u64 ptr to one byte per page, u32
 * flags (MIGRATE_VMA_SELECT_*), u32 owner: 0 for NULL, n + 1 for /dev/hmm_dmirror<n>.
 */
const SELECT_CMD = { size: 32, addr: 0, npages: 8, ptr: 16, flags: 24, owner: 28 } as const;

class select_state {
  readonly cdev = new cdev();
  readonly device = new device();
  devt = 0;
}

function state_of(m: Machine): select_state {
  return m.modules.data.get(NAME) as select_state;
}

function owner_of(m: Machine, owner: number): unknown {
  const mod = m.modules.data.get('test_hmm');
  return mod instanceof test_hmm_state ? mod.dmirror_devices[owner - 1] : undefined;
}

/**
 * Sets up a migration without destinations and stores MIGRATE_PFN_VALID and MIGRATE_PFN_MIGRATE of each source entry at
 * ptr.
 */
function* select_ioctl(m: Machine, _filp: file, _command: number, arg: number): Gen<number> {
  const bytes = new Uint8Array(SELECT_CMD.size);
  if ((yield* copy_from_user(m, bytes, arg, bytes.length)) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const u64 = (at: number): number => view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  const npages = u64(SELECT_CMD.npages);
  if (npages < 1 || npages > MAX_PAGES) return -EINVAL;
  const owner = view.getUint32(SELECT_CMD.owner, true);

  const mm = m.current.mm as mm_struct;
  const args = new migrate_vma();
  args.src = new Float64Array(npages);
  args.dst = new Float64Array(npages);
  args.start = u64(SELECT_CMD.addr);
  args.end = args.start + npages * PAGE_SIZE;
  args.flags = view.getUint32(SELECT_CMD.flags, true);
  args.pgmap_owner = args.src_owner = owner === 0 ? null : owner_of(m, owner);
  if (args.pgmap_owner === undefined) return -EINVAL;
  yield* mmap_read_lock(m, mm);
  args.vma = vma_lookup(mm, args.start);
  const ret = yield* migrate_vma_setup(m, args);
  const selected = Uint8Array.from(args.src, (v) => v & 3);
  if (ret === 0) {
    yield* migrate_vma_pages(m, args);
    yield* migrate_vma_finalize(m, args);
  }
  mmap_read_unlock(m, mm);
  if (ret !== 0) return ret;
  return (yield* copy_to_user(m, u64(SELECT_CMD.ptr), selected, npages)) !== 0 ? -EFAULT : 0;
}

const fops: file_operations = {
  unlocked_ioctl: select_ioctl,
};

function* select_init(m: Machine): Gen<number> {
  const s = new select_state();
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt + MKDEV(0, 0);
  dev_set_name(s.device, 'select');
  m.modules.data.set(NAME, s);
  return cdev_device_add(m, s.cdev, s.device);
}

function* select_exit(m: Machine): Gen<void> {
  const s = state_of(m);
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  m.modules.data.delete(NAME);
}

/** The module: /dev/select, whose ioctls take a struct select_cmd. */
export const select_driver: Module = {
  name: NAME,
  params: [],
  init: select_init,
  exit: select_exit,
  users: () => 0,
  held_folios: () => undefined,
};
