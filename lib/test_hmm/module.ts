// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL, ENOMEM } from '../errno.ts';
import {
  alloc_chrdev_region,
  cdev_device_add,
  cdev_device_del,
  cdev_init,
  cdev_lookup,
  dev_set_name,
  device_initialize,
  MAJOR,
  MKDEV,
  unregister_chrdev_region,
} from '../fs/char_dev.ts';
import type { file, file_operations, inode } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import { mutex_lock, mutex_unlock } from '../kernel/locking/mutex.ts';
import type { Module, ModuleParams } from '../kernel/module.ts';
import { Oops, printk } from '../kernel/printk.ts';
import { put_page } from '../mm/folio.ts';
import { vm_insert_page } from '../mm/memory/zap.ts';
import type { mm_struct, vm_area_struct } from '../mm/mm_types.ts';
import { mmu_interval_notifier_insert, mmu_interval_notifier_remove } from '../mm/mmu_notifier.ts';
import { __free_pages, __GFP_ZERO, alloc_page, GFP_KERNEL } from '../mm/page_alloc.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { dmirror_allocate_chunk, dmirror_device_evict_chunk, dmirror_device_remove_chunks } from './chunk.ts';
import {
  dmirror,
  type dmirror_chunk,
  dmirror_device,
  dmirror_is_private_zone,
  dmirror_min_ops,
  DMIRROR_NDEVICES,
  test_hmm_state,
} from './dmirror.ts';
import { dmirror_read, dmirror_read_unlocked, dmirror_snapshot, dmirror_write, type hmm_dmirror_cmd } from './fault.ts';
import {
  dmirror_check_atomic,
  dmirror_exclusive,
  dmirror_migrate_to_device,
  dmirror_migrate_to_system,
} from './migrate.ts';
import {
  HMM_DMIRROR_CHECK_EXCLUSIVE,
  HMM_DMIRROR_CMD,
  HMM_DMIRROR_CMD_V3,
  HMM_DMIRROR_EXCLUSIVE,
  HMM_DMIRROR_FLAGS,
  HMM_DMIRROR_GET_MEM_DEV_TYPE,
  HMM_DMIRROR_MEMORY_DEVICE_COHERENT,
  HMM_DMIRROR_MEMORY_DEVICE_PRIVATE,
  HMM_DMIRROR_MIGRATE_TO_DEV,
  HMM_DMIRROR_MIGRATE_TO_SYS,
  HMM_DMIRROR_READ,
  HMM_DMIRROR_READ_UNLOCKED,
  HMM_DMIRROR_RELEASE,
  HMM_DMIRROR_SNAPSHOT,
  HMM_DMIRROR_WRITE,
  iowr,
} from './uapi.ts';

const MODULE_NAME = 'test_hmm';

/** Returns the module's state. NON-KERNEL: upstream's static variables. */
function this_module(m: Machine): test_hmm_state {
  const state = m.modules.data.get(MODULE_NAME);
  if (!(state instanceof test_hmm_state))
    throw new Oops('BUG: unable to handle page fault: the module test_hmm is gone');
  return state;
}

/**
 * Opens a mirror of the caller's address space. Returns 0, or -EINTR for a signal
 * (lib/test_hmm.c: dmirror_fops_open()).
 */
function* dmirror_fops_open(m: Machine, node: inode, filp: file): Gen<number> {
  const mod = this_module(m);
  const cdevice = cdev_lookup(m, node.i_rdev);
  const mdevice = mod.dmirror_devices.find((x) => x.cdevice === cdevice) as dmirror_device;
  const d = new dmirror(mod.next_id++, mdevice);
  const ret = yield* mmu_interval_notifier_insert(
    m,
    d.notifier,
    m.current.mm as mm_struct,
    0,
    2 ** 64 - PAGE_SIZE,
    dmirror_min_ops,
  );
  if (ret !== 0) return ret;
  mod.dmirrors.set(d.id, d);
  filp.private_data = d;
  return 0;
}

/** Closes a mirror and evicts the whole device, whoever uses it (lib/test_hmm.c: dmirror_fops_release()). */
function* dmirror_fops_release(m: Machine, _node: inode, filp: file): Gen<number> {
  const d = filp.private_data as dmirror;
  const mdevice = d.mdevice;
  yield* mmu_interval_notifier_remove(m, d.notifier);
  if (mdevice.devmem_chunks !== null && !m.patch.close_keeps_device_pages) {
    for (let i = 0; i < (mdevice.devmem_chunks?.length ?? 0); i++)
      yield* dmirror_device_evict_chunk(m, mdevice.devmem_chunks[i]);
  }
  mdevice.mod.dmirrors.delete(d.id);
  d.notifier.freed = true;
  return 0;
}

/**
 * Returns the decoded command, or -EINVAL for an unaligned address or an empty or wrapping range. Page numbers are
 * below 2^52, so that sums and multiples of PAGE_SIZE up to 2^64 are exact. NON-KERNEL: upstream reads a structure.
 */
function decode_cmd(view: DataView): hmm_dmirror_cmd | number {
  if (view.getUint32(HMM_DMIRROR_CMD.addr, true) & (PAGE_SIZE - 1)) return -EINVAL;
  const start =
    view.getUint32(HMM_DMIRROR_CMD.addr + 4, true) * 2 ** 20 + (view.getUint32(HMM_DMIRROR_CMD.addr, true) >>> 12);
  const npages =
    (view.getUint32(HMM_DMIRROR_CMD.npages + 4, true) & 0xfffff) * 2 ** 32 +
    view.getUint32(HMM_DMIRROR_CMD.npages, true);
  const end = (start + npages) % 2 ** 52;
  if (start >= end) return -EINVAL;
  const ptr = view.getUint32(HMM_DMIRROR_CMD.ptr + 4, true) * 2 ** 32 + view.getUint32(HMM_DMIRROR_CMD.ptr, true);
  return { addr: start * PAGE_SIZE, ptr, npages, cpages: 0, faults: 0 };
}

/**
 * Runs a command. Returns 0 or a negative errno. NON-KERNEL: the switch of upstream's dmirror_fops_unlocked_ioctl().
 */
function* run_command(m: Machine, d: dmirror, command: number, cmd: hmm_dmirror_cmd, view: DataView): Gen<number> {
  switch (command) {
    case HMM_DMIRROR_READ:
      return yield* dmirror_read(m, d, cmd);
    case HMM_DMIRROR_WRITE:
      return yield* dmirror_write(m, d, cmd);
    case HMM_DMIRROR_MIGRATE_TO_DEV:
      return yield* dmirror_migrate_to_device(m, d, cmd);
    case HMM_DMIRROR_MIGRATE_TO_SYS:
      return yield* dmirror_migrate_to_system(m, d, cmd);
    case HMM_DMIRROR_EXCLUSIVE:
      return yield* dmirror_exclusive(m, d, cmd);
    case HMM_DMIRROR_CHECK_EXCLUSIVE:
      return dmirror_check_atomic(d, cmd.addr, cmd.addr + cmd.npages * PAGE_SIZE);
    case HMM_DMIRROR_SNAPSHOT:
      return yield* dmirror_snapshot(m, d, cmd);
    case HMM_DMIRROR_RELEASE:
      yield* dmirror_device_remove_chunks(m, d.mdevice);
      return 0;
    case HMM_DMIRROR_FLAGS:
      d.flags = view.getUint32(HMM_DMIRROR_CMD.npages, true);
      return 0;
    case HMM_DMIRROR_READ_UNLOCKED:
      return yield* dmirror_read_unlocked(m, d, cmd, 0);
    default:
      return -EINVAL;
  }
}

/**
 * Returns today's command for one of the series of January 2022, 0 for none. The first seven differ only in the encoded
 * size. NON-KERNEL.
 */
function command_of_v3(command: number): number {
  const nr = command % 256;
  return nr < 7 && command === iowr(nr, HMM_DMIRROR_CMD_V3.size) ? iowr(nr) : 0;
}

/** HMM_DMIRROR_GET_MEM_DEV_TYPE: returns the type of the device's memory. NON-KERNEL (20220110223201.31024-7). */
function* dmirror_get_device_type(m: Machine, d: dmirror, view: DataView): Gen<number> {
  yield* mutex_lock(m, d.mutex);
  view.setBigUint64(HMM_DMIRROR_CMD_V3.zone_device_type, BigInt(d.mdevice.zone_device_type), true);
  mutex_unlock(m, d.mutex);
  return 0;
}

/**
 * Runs an HMM_DMIRROR_* command on the structure at user address `arg` and stores cpages and faults in it
 * (lib/test_hmm.c: dmirror_fops_unlocked_ioctl()).
 */
function* dmirror_fops_unlocked_ioctl(m: Machine, filp: file, command: number, arg: number): Gen<number> {
  const d = filp.private_data as dmirror | null;
  if (d === null) return -EINVAL;
  const v3 = m.patch.coherent_v3;
  const bytes = new Uint8Array(v3 ? HMM_DMIRROR_CMD_V3.size : HMM_DMIRROR_CMD.size);
  if ((yield* copy_from_user(m, bytes, arg, bytes.length)) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const cmd = decode_cmd(view);
  if (typeof cmd === 'number') return cmd;
  const gets_type = v3 && command === HMM_DMIRROR_GET_MEM_DEV_TYPE;
  const ret = gets_type
    ? yield* dmirror_get_device_type(m, d, view)
    : yield* run_command(m, d, v3 ? command_of_v3(command) : command, cmd, view);
  if (ret !== 0) return ret;
  view.setBigUint64(HMM_DMIRROR_CMD.cpages, BigInt(cmd.cpages), true);
  view.setBigUint64(HMM_DMIRROR_CMD.faults, BigInt(cmd.faults), true);
  return (yield* copy_to_user(m, arg, bytes, bytes.length)) !== 0 ? -EFAULT : 0;
}

/** Maps zeroed pages over the whole vma (lib/test_hmm.c: dmirror_fops_mmap()). */
function* dmirror_fops_mmap(m: Machine, _filp: file, vma: vm_area_struct): Gen<number> {
  for (let addr = vma.vm_start; addr < vma.vm_end; addr += PAGE_SIZE) {
    const page = alloc_page(m, GFP_KERNEL | __GFP_ZERO);
    if (page === 0) return -ENOMEM;
    const ret = yield* vm_insert_page(m, vma, addr, page);
    if (ret !== 0) {
      __free_pages(m, page, 0);
      return ret;
    }
    put_page(m, page);
  }
  return 0;
}

const dmirror_fops: file_operations = {
  open: dmirror_fops_open,
  release: dmirror_fops_release,
  mmap: dmirror_fops_mmap,
  unlocked_ioctl: dmirror_fops_unlocked_ioctl,
};

/** Creates a device with its first chunk. Returns 0 or a negative errno (lib/test_hmm.c: dmirror_device_init()). */
function* dmirror_device_init(m: Machine, mdevice: dmirror_device, id: number): Gen<number> {
  cdev_init(mdevice.cdevice, dmirror_fops);
  device_initialize(mdevice.device);
  mdevice.device.devt = MKDEV(MAJOR(mdevice.mod.dmirror_dev), id);
  let ret = dev_set_name(mdevice.device, `hmm_dmirror${id}`);
  if (m.patch.device_added_first) {
    if (ret === 0) ret = cdev_device_add(m, mdevice.cdevice, mdevice.device);
    return ret !== 0 ? ret : yield* dmirror_allocate_chunk(m, mdevice, null, false);
  }
  if (ret === 0) ret = yield* dmirror_allocate_chunk(m, mdevice, null, false);
  if (ret === 0) ret = cdev_device_add(m, mdevice.cdevice, mdevice.device);
  // put_device() drops the last reference, which calls dmirror_device_release().
  if (ret !== 0) yield* dmirror_device_remove_chunks(m, mdevice);
  return ret;
}

/** Removes a device (lib/test_hmm.c: dmirror_device_remove()). */
function* dmirror_device_remove(m: Machine, mdevice: dmirror_device): Gen<void> {
  cdev_device_del(m, mdevice.cdevice, mdevice.device);
  yield* dmirror_device_remove_chunks(m, mdevice);
}

/** Returns a numeric parameter, 0 if it is not given, NaN if it is no number. NON-KERNEL: module_param(). */
function param(params: ModuleParams, name: string): number {
  const v = Number(params[name] ?? 0);
  return Number.isFinite(v) ? v : NaN;
}

/** Creates the devices. Returns 0 or a negative errno (lib/test_hmm.c: hmm_dmirror_init()). */
function* hmm_dmirror_init(m: Machine, params: ModuleParams): Gen<number> {
  const spm_addr_dev0 = param(params, 'spm_addr_dev0');
  const spm_addr_dev1 = param(params, 'spm_addr_dev1');
  if (Number.isNaN(spm_addr_dev0) || Number.isNaN(spm_addr_dev1)) return -EINVAL;
  const mod = new test_hmm_state(spm_addr_dev0, spm_addr_dev1);
  const dev = alloc_chrdev_region(m, 0, DMIRROR_NDEVICES, 'HMM_DMIRROR');
  if (dev < 0) return dev;
  mod.dmirror_dev = dev;
  m.modules.data.set(MODULE_NAME, mod);
  const types = [HMM_DMIRROR_MEMORY_DEVICE_PRIVATE, HMM_DMIRROR_MEMORY_DEVICE_PRIVATE];
  // Coherent memory came after the flags that select it.
  if (m.seam.migrate_selection.by_flags && spm_addr_dev0 !== 0 && spm_addr_dev1 !== 0)
    types.push(HMM_DMIRROR_MEMORY_DEVICE_COHERENT, HMM_DMIRROR_MEMORY_DEVICE_COHERENT);
  for (const type of types) mod.dmirror_devices.push(new dmirror_device(mod, type));
  for (let id = 0; id < types.length; id++) {
    const ret = yield* dmirror_device_init(m, mod.dmirror_devices[id], id);
    if (ret === 0) continue;
    while (--id >= 0) yield* dmirror_device_remove(m, mod.dmirror_devices[id]);
    unregister_chrdev_region(m, dev, DMIRROR_NDEVICES);
    m.modules.data.delete(MODULE_NAME);
    return ret;
  }
  printk(m, 'HMM test module loaded. This is only for testing HMM.');
  return 0;
}

/** Removes the devices (lib/test_hmm.c: hmm_dmirror_exit()). */
function* hmm_dmirror_exit(m: Machine): Gen<void> {
  const mod = this_module(m);
  for (const mdevice of mod.dmirror_devices) yield* dmirror_device_remove(m, mdevice);
  unregister_chrdev_region(m, mod.dmirror_dev, DMIRROR_NDEVICES);
  m.modules.data.delete(MODULE_NAME);
}

/** Reports the folios that back a chunk's pages in use, for the audit. NON-KERNEL. */
function held_backing_folios(m: Machine, chunk: dmirror_chunk, held: (folio: number) => void): void {
  m.device_private.for_each_run(chunk.pagemap, (first, nr) => {
    const { compound_head, zone_device_data: data } = m.page;
    m.page.for_each_referenced(first, first + nr, (page) => {
      if (compound_head[page] === 0 && data[page] !== 0) held(data[page]);
    });
  });
}

/**
 * The module test_hmm. spm_addr_dev0 and spm_addr_dev1 are physical addresses of 256 MiB each; the coherent devices
 * exist only if both are given (lib/test_hmm.c: hmm_dmirror_init()).
 */
export const test_hmm: Module = {
  name: MODULE_NAME,
  params: ['spm_addr_dev0', 'spm_addr_dev1'],
  init: hmm_dmirror_init,
  exit: hmm_dmirror_exit,
  users: (m) => this_module(m).dmirrors.size,
  held_folios: (m, held) => {
    // Every private page in use is backed by a page of system memory.
    for (const mdevice of this_module(m).dmirror_devices) {
      if (!dmirror_is_private_zone(mdevice)) continue;
      for (const chunk of mdevice.devmem_chunks ?? []) held_backing_folios(m, chunk, held);
    }
  },
};
