// SPDX-License-Identifier: GPL-2.0-only
// A client of HMM v14: /dev/hmm_v14, a device with unaddressable memory to which user space migrates pages. Each ioctl
// takes the address of a struct hmm_v14_cmd. NON-KERNEL throughout.

import { pmd_off, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import { pmd_index, pte_index, pte_present } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { copy_from_user, copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EBUSY, EFAULT, EINVAL, ENOENT } from '../../errno.ts';
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
} from '../../fs/char_dev.ts';
import type { file, file_operations, inode } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import type { Module, ModuleParams } from '../../kernel/module.ts';
import { printk } from '../../kernel/printk.ts';
import { lru_add_drain_all, put_page } from '../../mm/folio.ts';
import { get_user_pages_fast } from '../../mm/gup/gup.ts';
import { softleaf_from_pte, softleaf_is_device_private, softleaf_to_page } from '../../mm/leafops.ts';
import { folio_set_zone_device_data, folio_zone_device_data, zone_device_folio_init } from '../../mm/memremap.ts';
import type { mm_struct, vm_area_struct } from '../../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../../mm/mmap_lock.ts';
import { folio_get, page_to_pfn, pfn_to_page } from '../../mm/page.ts';
import { __free_pages, alloc_page, GFP_HIGHUSER, GFP_KERNEL } from '../../mm/page_alloc.ts';
import { pte_offset_map_lock } from '../../mm/pgtable-generic.ts';
import { PAGE_SIZE } from '../../mm/physmem.ts';
import { kvcalloc, kvfree } from '../../mm/slub.ts';
import { vma_lookup } from '../../mm/vma/vma.ts';
import { folio_isolate_lru, folio_putback_lru } from '../../mm/vmscan.ts';
import { hmm_devmem_add, hmm_devmem_fault_range, hmm_devmem_remove, hmm_vma_alloc_locked_page } from './devmem.ts';
import {
  hmm_mirror,
  hmm_mirror_register,
  hmm_mirror_unregister,
  hmm_range,
  hmm_vma_fault,
  hmm_vma_range_done,
} from './fault.ts';
import {
  hmm_devmem,
  HMM_PFN_DEVICE,
  HMM_PFN_ERROR,
  hmm_pfn_from_pfn,
  HMM_PFN_LOCKED,
  HMM_PFN_MIGRATE,
  hmm_pfn_to_page,
  HMM_PFN_UNADDRESSABLE,
  page_devmem,
} from './hmm.ts';
import { type hmm_migrate_ops, hmm_vma_migrate } from './migrate.ts';

const NAME = 'hmm_v14';
const SIZE = 128 * 1024 * 1024;
const PAGES = 2048;

/** Size of struct hmm_v14_cmd and offsets of its u64; offered and cpages are written. */
const HMM_V14_CMD = { size: 40, addr: 0, npages: 8, ptr: 16, offered: 24, cpages: 32 } as const;

/**
 * Migrates npages pages to the device. Writes how many alloc_and_copy() was offered and how many finalize_and_map() saw
 * as migrated.
 */
const HMM_V14_TO_DEVICE = 0;
/** Migrates those of npages pages that are on the device to system memory. Writes the same counts. */
const HMM_V14_TO_SYSTEM = 1;
/** Migrates npages pages of system memory to other system pages. Writes the same counts. A 2 would be FIGETBSZ. */
const HMM_V14_MOVE = 13;
/** Copies npages device pages to ptr; -ENOENT at one that is not on the device. */
const HMM_V14_READ = 3;
/** Takes a reference to each of npages pages, like the DMA of a driver that does not pin. */
const HMM_V14_HOLD = 4;
/** Drops every reference taken by HOLD and GRAB. */
const HMM_V14_RELEASE = 5;
/** Isolates npages pages from the LRU, like compaction; -EBUSY for one that is on no list. */
const HMM_V14_ISOLATE = 6;
/** Puts back the pages that ISOLATE took. */
const HMM_V14_PUTBACK = 7;
/** The next migration has no destination for the page at addr. */
const HMM_V14_SKIP = 8;
/** A reference to the page at addr is taken while its next migration copies. */
const HMM_V14_GRAB = 9;
/** The page at addr, which is on the device, becomes unreadable. */
const HMM_V14_BREAK = 10;
/**
 * The device reads npages pages of one mapping, wherever they are, to ptr. Pages are faulted in without dropping
 * mmap_lock.
 */
const HMM_V14_ACCESS = 11;
/** ACCESS with write faults. */
const HMM_V14_ACCESS_WRITE = 12;

class hmm_v14_state {
  readonly cdev = new cdev();
  readonly device = new device();
  readonly devmem = new hmm_devmem(devmem_ops);
  readonly free: number[] = [];
  readonly in_use = new Set<number>();
  /** Pages with a reference of HOLD or GRAB. */
  readonly held: number[] = [];
  readonly isolated: number[] = [];
  /** Addresses. */
  readonly skip = new Set<number>();
  readonly grab = new Set<number>();
  /** Device pages. */
  readonly broken = new Set<number>();
  devt = 0;
}

/** The migration of one ioctl or fault. */
class migration {
  readonly s: hmm_v14_state;
  readonly where: number;
  offered = 0;
  cpages = 0;
  constructor(s: hmm_v14_state, where: number) {
    this.s = s;
    this.where = where;
  }
}

function state_of(m: Machine): hmm_v14_state {
  return m.modules.data.get(NAME) as hmm_v14_state;
}

/** Returns a locked device page with system memory to back it, or 0. */
function alloc_device_page(m: Machine, s: hmm_v14_state): number {
  const dpage = s.free.pop() ?? 0;
  if (dpage === 0) return 0;
  const rpage = alloc_page(m, GFP_HIGHUSER);
  if (rpage === 0) {
    s.free.push(dpage);
    return 0;
  }
  zone_device_folio_init(m, dpage, s.devmem.pagemap, 0);
  folio_set_zone_device_data(m, dpage, rpage);
  s.in_use.add(dpage);
  return dpage;
}

/** Returns the destination entry of one page, 0, or HMM_PFN_ERROR; spage is 0 if nothing was mapped. */
function* destination(m: Machine, mig: migration, vma: vm_area_struct, addr: number, spage: number): Gen<number> {
  const { s } = mig;
  const devmem = spage === 0 ? null : page_devmem(m, spage);
  if (mig.where === HMM_V14_TO_DEVICE) {
    const dpage = devmem === null ? alloc_device_page(m, s) : 0;
    if (dpage === 0) return 0;
    const rpfn = page_to_pfn(m, folio_zone_device_data(m, dpage));
    if (spage === 0) m.ram.clear(rpfn);
    else m.ram.copy(rpfn, page_to_pfn(m, spage), 1);
    return hmm_pfn_from_pfn(page_to_pfn(m, dpage)) + HMM_PFN_LOCKED + HMM_PFN_DEVICE + HMM_PFN_UNADDRESSABLE;
  }
  if (spage === 0 || devmem !== (mig.where === HMM_V14_TO_SYSTEM ? s.devmem : null)) return 0;
  if (s.broken.has(spage)) return HMM_PFN_ERROR;
  const dpage = yield* hmm_vma_alloc_locked_page(m, vma, addr);
  if (dpage === 0) return 0;
  const from = devmem === null ? spage : folio_zone_device_data(m, spage);
  m.ram.copy(page_to_pfn(m, dpage), page_to_pfn(m, from), 1);
  return hmm_pfn_from_pfn(page_to_pfn(m, dpage)) + HMM_PFN_LOCKED;
}

const migrate_ops: hmm_migrate_ops = {
  *alloc_and_copy(m, vma, src_pfns, dst_pfns, start, end, priv) {
    const mig = priv as migration;
    for (let addr = start, i = 0; addr < end; addr += PAGE_SIZE, i++) {
      dst_pfns[i] = 0;
      if (!(src_pfns[i] & HMM_PFN_MIGRATE)) continue;
      mig.offered++;
      const spage = hmm_pfn_to_page(m, src_pfns[i]);
      if (mig.s.skip.delete(addr)) continue;
      dst_pfns[i] = yield* destination(m, mig, vma, addr, spage);
      if (spage !== 0 && mig.s.grab.delete(addr)) {
        folio_get(m, spage);
        mig.s.held.push(spage);
      }
    }
  },
  *finalize_and_map(_m, _vma, src_pfns, _dst_pfns, start, end, priv) {
    for (let i = 0; i < (end - start) / PAGE_SIZE; i++) if (src_pfns[i] & HMM_PFN_MIGRATE) (priv as migration).cpages++;
  },
};

const devmem_ops = {
  free(m: Machine, _devmem: hmm_devmem, page: number): void {
    const s = state_of(m);
    __free_pages(m, folio_zone_device_data(m, page), 0);
    s.in_use.delete(page);
    s.broken.delete(page);
    s.free.push(page);
  },
  *fault(m: Machine, _devmem: hmm_devmem, vma: vm_area_struct, addr: number): Gen<number> {
    const start = addr - (addr % PAGE_SIZE);
    const mig = new migration(state_of(m), HMM_V14_TO_SYSTEM);
    return yield* hmm_devmem_fault_range(
      m,
      vma,
      migrate_ops,
      new Float64Array(1),
      new Float64Array(1),
      start,
      addr,
      start + PAGE_SIZE,
      mig,
    );
  },
};

function* migrate(
  m: Machine,
  s: hmm_v14_state,
  where: number,
  cmd: DataView,
  addr: number,
  npages: number,
): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const src = kvcalloc(m, npages, GFP_KERNEL);
  const dst = kvcalloc(m, npages, GFP_KERNEL);
  const mig = new migration(s, where);
  yield* mmap_read_lock(m, mm);
  // hmm_vma_migrate() has to reject a null vma.
  const ret = yield* hmm_vma_migrate(
    m,
    migrate_ops,
    vma_lookup(mm, addr),
    src,
    dst,
    addr,
    addr + npages * PAGE_SIZE,
    mig,
  );
  mmap_read_unlock(m, mm);
  kvfree(m, src);
  kvfree(m, dst);
  cmd.setBigUint64(HMM_V14_CMD.offered, BigInt(mig.offered), true);
  cmd.setBigUint64(HMM_V14_CMD.cpages, BigInt(mig.cpages), true);
  return ret;
}

/** Returns the device page at an address, or 0. */
function* device_page_at(m: Machine, s: hmm_v14_state, addr: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  let page = 0;
  yield* mmap_read_lock(m, mm);
  const pmdt = pmd_off(mm, addr);
  const pt = pmdt === null ? null : yield* pte_offset_map_lock(m, mm, pmdt, pmd_index(addr), addr);
  if (pt !== null) {
    const pte = pt.entry[pte_index(addr)];
    const entry = softleaf_from_pte(pte);
    if (!pte_present(pte) && softleaf_is_device_private(entry)) page = softleaf_to_page(m, entry);
    pte_unmap_unlock(m, pt);
  }
  mmap_read_unlock(m, mm);
  return page !== 0 && page_devmem(m, page) === s.devmem ? page : 0;
}

function* read(m: Machine, s: hmm_v14_state, addr: number, npages: number, ptr: number): Gen<number> {
  for (let i = 0; i < npages; i++) {
    const page = yield* device_page_at(m, s, addr + i * PAGE_SIZE);
    if (page === 0) return -ENOENT;
    const contents = m.ram.bytes(page_to_pfn(m, folio_zone_device_data(m, page))).slice();
    if ((yield* copy_to_user(m, ptr + i * PAGE_SIZE, contents, PAGE_SIZE)) !== 0) return -EFAULT;
  }
  return 0;
}

/** Takes a reference to each page of the range, which has to be present. Returns the pages or a negative errno. */
function* get_pages(m: Machine, addr: number, npages: number): Gen<number[] | number> {
  const pages = new Int32Array(npages);
  const got = yield* get_user_pages_fast(m, addr, npages, 0, pages);
  if (got === npages) return [...pages];
  for (let i = 0; i < got; i++) put_page(m, pages[i]);
  return got < 0 ? got : -EFAULT;
}

function* isolate(m: Machine, s: hmm_v14_state, addr: number, npages: number): Gen<number> {
  const pages = yield* get_pages(m, addr, npages);
  if (typeof pages === 'number') return pages;
  yield* lru_add_drain_all(m);
  let ret = 0;
  for (const page of pages) {
    if (folio_isolate_lru(m, page)) s.isolated.push(page);
    else ret = -EBUSY;
    put_page(m, page);
  }
  return ret;
}

/** Returns the contents of an entry's page, or null. */
function contents_of(m: Machine, entry: number): Uint8Array | null {
  const page = hmm_pfn_to_page(m, entry);
  if (page === 0) return null;
  return m.ram.bytes(page_to_pfn(m, page_devmem(m, page) === null ? page : folio_zone_device_data(m, page)));
}

function* access(m: Machine, addr: number, npages: number, ptr: number, write: boolean): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const pfns = new Float64Array(npages);
  const bytes = new Uint8Array(npages * PAGE_SIZE);
  for (;;) {
    const range = new hmm_range();
    yield* mmap_read_lock(m, mm);
    const vma = vma_lookup(mm, addr);
    const ret =
      vma === null ? -EFAULT : yield* hmm_vma_fault(m, vma, range, addr, addr + npages * PAGE_SIZE, pfns, write, true);
    if (ret !== 0) {
      mmap_read_unlock(m, mm);
      return ret;
    }
    const valid = hmm_vma_range_done(m, vma as vm_area_struct, range);
    for (let i = 0; valid && i < npages; i++) {
      const contents = contents_of(m, pfns[i]);
      if (contents !== null) bytes.set(contents, i * PAGE_SIZE);
    }
    mmap_read_unlock(m, mm);
    if (valid) break;
  }
  return (yield* copy_to_user(m, ptr, bytes, bytes.length)) !== 0 ? -EFAULT : 0;
}

function* run_command(m: Machine, s: hmm_v14_state, command: number, cmd: DataView): Gen<number> {
  const addr = Number(cmd.getBigUint64(HMM_V14_CMD.addr, true));
  const npages = Number(cmd.getBigUint64(HMM_V14_CMD.npages, true));
  const ptr = Number(cmd.getBigUint64(HMM_V14_CMD.ptr, true));
  switch (command) {
    case HMM_V14_TO_DEVICE:
    case HMM_V14_TO_SYSTEM:
    case HMM_V14_MOVE:
      return yield* migrate(m, s, command, cmd, addr, npages);
    case HMM_V14_READ:
      return yield* read(m, s, addr, npages, ptr);
    case HMM_V14_HOLD: {
      const pages = yield* get_pages(m, addr, npages);
      if (typeof pages === 'number') return pages;
      s.held.push(...pages);
      return 0;
    }
    case HMM_V14_RELEASE:
      for (const page of s.held.splice(0)) put_page(m, page);
      return 0;
    case HMM_V14_ISOLATE:
      return yield* isolate(m, s, addr, npages);
    case HMM_V14_PUTBACK:
      for (const page of s.isolated.splice(0)) folio_putback_lru(m, page);
      return 0;
    case HMM_V14_SKIP:
      s.skip.add(addr);
      return 0;
    case HMM_V14_GRAB:
      s.grab.add(addr);
      return 0;
    case HMM_V14_BREAK: {
      const page = yield* device_page_at(m, s, addr);
      if (page === 0) return -ENOENT;
      s.broken.add(page);
      return 0;
    }
    case HMM_V14_ACCESS:
    case HMM_V14_ACCESS_WRITE:
      return yield* access(m, addr, npages, ptr, command === HMM_V14_ACCESS_WRITE);
    default:
      return -EINVAL;
  }
}

function* hmm_v14_ioctl(m: Machine, _filp: file, command: number, arg: number): Gen<number> {
  const bytes = new Uint8Array(HMM_V14_CMD.size);
  if ((yield* copy_from_user(m, bytes, arg, bytes.length)) !== 0) return -EFAULT;
  const ret = yield* run_command(m, state_of(m), command, new DataView(bytes.buffer));
  if (ret !== 0) return ret;
  return (yield* copy_to_user(m, arg, bytes, bytes.length)) !== 0 ? -EFAULT : 0;
}

/** An open file mirrors the address space of the task that opened it. */
function* hmm_v14_open(m: Machine, _node: inode, filp: file): Gen<number> {
  const mirror = new hmm_mirror();
  filp.private_data = mirror;
  return yield* hmm_mirror_register(m, mirror, m.current.mm as mm_struct);
}

function* hmm_v14_release(m: Machine, _node: inode, filp: file): Gen<number> {
  yield* hmm_mirror_unregister(m, filp.private_data as hmm_mirror);
  return 0;
}

const fops: file_operations = {
  open: hmm_v14_open,
  release: hmm_v14_release,
  unlocked_ioctl: hmm_v14_ioctl,
};

function* hmm_v14_init(m: Machine, params: ModuleParams): Gen<number> {
  if (!m.patch.hmm_v14) {
    printk(m, `${NAME}: Unknown symbol hmm_vma_migrate (err -2)`);
    return -ENOENT;
  }
  const s = new hmm_v14_state();
  const flags = params['memory_flags'];
  const err = yield* hmm_devmem_add(m, s.devmem, NAME, SIZE, flags === undefined ? undefined : Number(flags));
  if (err !== 0) return err;
  for (let i = PAGES - 1; i >= 0; i--) s.free.push(pfn_to_page(m, s.devmem.pfn_first + i));
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt + MKDEV(0, 0);
  dev_set_name(s.device, NAME);
  m.modules.data.set(NAME, s);
  return cdev_device_add(m, s.cdev, s.device);
}

function* hmm_v14_exit(m: Machine): Gen<void> {
  const s = state_of(m);
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  yield* hmm_devmem_remove(m, s.devmem);
  m.modules.data.delete(NAME);
}

/** The module: /dev/hmm_v14. Parameter memory_flags: MEMORY_DEVICE_*, by default all three. Needs state hmm-v14. */
export const hmm_v14_driver: Module = {
  name: NAME,
  params: ['memory_flags'],
  init: hmm_v14_init,
  exit: hmm_v14_exit,
  users: () => 0,
  held_folios: (m, held) => {
    const s = state_of(m);
    for (const page of s.in_use) held(m.page.zone_device_data[page]);
    for (const page of [...s.held, ...s.isolated]) held(page);
  },
};
