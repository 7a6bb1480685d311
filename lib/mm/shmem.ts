// SPDX-License-Identifier: GPL-2.0-only

import { HPAGE_PMD_ORDER, HPAGE_PMD_SIZE, PAGE_ALIGN, TASK_SIZE } from '../arch/x86/mm/pgtable/pgtable.ts';
import { clear_user, copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EEXIST, EFAULT, EFBIG, EINTR, EINVAL, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP } from '../errno.ts';
import { alloc_file, fput } from '../fs/file_table.ts';
import {
  type address_space,
  type file,
  type file_operations,
  FMODE_LSEEK,
  FMODE_PREAD,
  FMODE_PWRITE,
  type inode,
  O_RDWR,
  S_IFREG,
} from '../fs/fs.ts';
import { new_inode } from '../fs/inode.ts';
import type { Gen } from '../kernel/gen.ts';
import { down_write, up_write } from '../kernel/locking/rwsem.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { cond_resched, fatal_signal_pending } from '../kernel/sched/core.ts';
import { wait_on, wait_queue_head, wake_up } from '../kernel/sched/wait.ts';
import { Unmodelled } from '../unmodelled.ts';
import {
  __filemap_add_folio,
  alloc_address_space,
  filemap_get_entry,
  filemap_map_pages,
  filemap_remove_folio,
  mapping_indices,
  mapping_load,
  mapping_next_index,
  mapping_range_empty,
  maybe_unlock_mmap_for_io,
} from './filemap/filemap.ts';
import { folio_lock, folio_trylock, folio_unlock } from './filemap/folio_lock.ts';
import { folio_add_lru, folio_mark_accessed, folio_put } from './folio.ts';
import { fault_in_readable } from './gup/fault_in.ts';
import {
  count_mthp_stat,
  count_vm_event,
  highest_order,
  MTHP_STAT_SHMEM_ALLOC,
  MTHP_STAT_SHMEM_FALLBACK,
  next_order,
  pick,
  SHMEM_MODES,
  thp_vma_suitable_orders,
  vma_thp_disabled,
} from './huge_memory/sysfs.ts';
import { unmap_mapping_range } from './memory/zap.ts';
import {
  linear_page_index,
  type mm_struct,
  type vm_area_struct,
  type vm_fault,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_NORESERVE,
  type vm_operations_struct,
  VM_UFFD_MISSING,
} from './mm_types.ts';
import { mm_get_unmapped_area } from './mmap/unmapped_area.ts';
import {
  folio_mark_uptodate,
  folio_set_referenced,
  folio_test_swapbacked,
  folio_test_uptodate,
  PG_locked,
  PG_swapbacked,
  set_flags,
} from './page-flags.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import { folio_nr_pages, folio_pfn, folio_size, folio_test_large } from './page.ts';
import { folio_alloc, GFP_HIGHUSER_MOVABLE } from './page_alloc.ts';
import { PAGE_SIZE } from './physmem.ts';
import { folio_zero_range, truncate_inode_folio, truncate_inode_partial_folio } from './truncate.ts';
import { handle_userfault, userfaultfd_minor, userfaultfd_missing } from './userfaultfd/userfaultfd.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from './util.ts';

// How shmem_get_folio() treats a hole (include/linux/shmem_fs.h: enum sgp_type).
const SGP_READ = 0;
const SGP_NOALLOC = 1;
const SGP_CACHE = 2;
const SGP_WRITE = 3;
const SGP_FALLOC = 4;

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const MAX_LFS_FILESIZE = Number.MAX_SAFE_INTEGER;
const MAP_FIXED = 0x10;

/** A range that is being punched or preallocated (mm/shmem.c: struct shmem_falloc). */
interface shmem_falloc {
  waitq: wait_queue_head | null;
  start: number;
  next: number;
}

/** tmpfs's part of an inode (include/linux/shmem_fs.h: struct shmem_inode_info). */
class shmem_inode_info {
  /** pages allocated; shmem_recalc_inode() brings it in line with the page cache */
  alloced = 0;
  fallocend = 0;
  falloc: shmem_falloc | null = null;
  readonly noreserve: boolean;
  constructor(noreserve: boolean) {
    this.noreserve = noreserve;
  }
}

/** include/linux/shmem_fs.h: SHMEM_I() */
function SHMEM_I(node: inode): shmem_inode_info {
  return node.i_private as shmem_inode_info;
}

/** Operations of a mapping of a named tmpfs file (mm/shmem.c: shmem_vm_ops). */
const shmem_vm_ops: vm_operations_struct = { fault: shmem_fault, map_pages: filemap_map_pages };
/** Operations of a mapping of an unlinked tmpfs file or shared anonymous memory (mm/shmem.c: shmem_anon_vm_ops). */
const shmem_anon_vm_ops: vm_operations_struct = { fault: shmem_fault, map_pages: filemap_map_pages };

/** Returns true for a tmpfs page cache (mm/shmem.c: shmem_mapping()). */
export function shmem_mapping(mapping: address_space | null): boolean {
  return mapping !== null && mapping.kind === 'shmem';
}

/** Returns true for a mapping of unlinked tmpfs, such as shared anonymous memory (mm/shmem.c: vma_is_anon_shmem()). */
function vma_is_anon_shmem(vma: vm_area_struct): boolean {
  return vma.vm_ops === shmem_anon_vm_ops;
}

/** Returns true for a mapping of tmpfs (mm/shmem.c: vma_is_shmem()). */
export function vma_is_shmem(vma: vm_area_struct): boolean {
  return vma_is_anon_shmem(vma) || vma.vm_ops === shmem_vm_ops;
}

/** mm/shmem.c: shmem_acct_size() */
function shmem_acct_size(m: Machine, noreserve: boolean, size: number): number {
  return noreserve ? 0 : security_vm_enough_memory_mm(m, m.current.mm as mm_struct, PAGE_ALIGN(size) / PAGE_SIZE);
}

/** mm/shmem.c: shmem_unacct_size() */
function shmem_unacct_size(m: Machine, noreserve: boolean, size: number): void {
  if (!noreserve) vm_unacct_memory(m, PAGE_ALIGN(size) / PAGE_SIZE);
}

/** Leaves out the size limit of a mount and quotas: no mount has them (mm/shmem.c: shmem_inode_acct_blocks()). */
function shmem_inode_acct_blocks(m: Machine, node: inode, pages: number): number {
  if (!SHMEM_I(node).noreserve) return 0;
  return security_vm_enough_memory_mm(m, m.current.mm as mm_struct, pages) === 0 ? 0 : -ENOSPC;
}

/** Leaves out swapped pages: there is no swap (mm/shmem.c: shmem_recalc_inode()). */
function shmem_recalc_inode(m: Machine, node: inode, alloced: number): void {
  const info = SHMEM_I(node);
  info.alloced += alloced;
  const freed = info.alloced - (node.i_mapping as address_space).nrpages;
  if (freed <= 0) return;
  info.alloced -= freed;
  if (info.noreserve) vm_unacct_memory(m, freed);
}

/**
 * Returns a new, unlinked regular file of tmpfs; of vm_flags only VM_NORESERVE has an effect (mm/shmem.c:
 * shmem_get_inode()).
 */
export function shmem_new_inode(m: Machine, vm_flags: number): inode {
  const node = new_inode(m);
  node.i_mode = S_IFREG | 0o600;
  node.i_private = new shmem_inode_info((vm_flags & VM_NORESERVE) !== 0);
  alloc_address_space(m, node, 'shmem');
  node.evict_inode = shmem_evict_inode;
  return node;
}

/** mm/shmem.c: shmem_evict_inode() */
function* shmem_evict_inode(m: Machine, node: inode): Gen<void> {
  shmem_unacct_size(m, SHMEM_I(node).noreserve, node.i_size);
  node.i_size = 0;
  yield* shmem_truncate_range(m, node, 0, Infinity);
  m.mappings.remove((node.i_mapping as address_space).id);
}

/** mm/shmem.c: __shmem_file_setup() */
function __shmem_file_setup(m: Machine, name: string, size: number, vm_flags: number): file | number {
  const noreserve = (vm_flags & VM_NORESERVE) !== 0;
  if (size < 0 || size > MAX_LFS_FILESIZE) return -EINVAL;
  if (shmem_acct_size(m, noreserve, size) !== 0) return -ENOMEM;
  const node = shmem_new_inode(m, vm_flags);
  node.i_size = size;
  const f = alloc_file(m, node, `/${name} (deleted)`, O_RDWR, shmem_file_operations);
  node.i_count--;
  return f;
}

/**
 * Returns an unlinked file of `size` bytes or -errno; of vm_flags only VM_NORESERVE has an effect (mm/shmem.c:
 * shmem_file_setup()).
 */
export function shmem_file_setup(m: Machine, name: string, size: number, vm_flags: number): file | number {
  return __shmem_file_setup(m, name, size, vm_flags);
}

/** shmem_file_setup() without security hooks, which are not modelled (mm/shmem.c: shmem_kernel_file_setup()). */
function shmem_kernel_file_setup(m: Machine, name: string, size: number, vm_flags: number): file | number {
  return __shmem_file_setup(m, name, size, vm_flags);
}

/** Gives a shared anonymous mapping its file. Returns 0 or -errno (mm/shmem.c: shmem_zero_setup()). */
export function shmem_zero_setup(m: Machine, vma: vm_area_struct): number {
  const f = shmem_kernel_file_setup(m, 'dev/zero', vma.vm_end - vma.vm_start, vma.vm_flags);
  if (typeof f === 'number') return f;
  if (vma.vm_file !== null) fput(m, vma.vm_file);
  vma.vm_file = f;
  vma.vm_ops = shmem_anon_vm_ops;
  return 0;
}

/**
 * Returns an address to map a tmpfs file, or with a null file shared anonymous memory, or -errno (mm/shmem.c:
 * shmem_get_unmapped_area()).
 */
export function shmem_get_unmapped_area(
  m: Machine,
  f: file | null,
  uaddr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  if (len > TASK_SIZE) return -ENOMEM;
  const addr = mm_get_unmapped_area(m, f, uaddr, len, pgoff, flags);
  if (addr < 0 || addr % PAGE_SIZE !== 0 || addr > TASK_SIZE - len) return addr;
  const mode = m.thp.shmem_enabled;
  if (mode === 'deny' || flags & MAP_FIXED || uaddr === addr) return addr;
  // tmpfs is mounted with huge=never; shmem_enabled applies to the internal mount of shared anonymous memory.
  if (mode !== 'force' && (f !== null || mode === 'never')) return addr;
  const hpage_size = HPAGE_PMD_SIZE;
  if (len < hpage_size) return addr;
  const offset = (pgoff * PAGE_SIZE) % hpage_size;
  if (offset !== 0 && offset + len < 2 * hpage_size) return addr;
  if (addr % hpage_size === offset) return addr;
  const inflated_len = len + hpage_size - PAGE_SIZE;
  if (inflated_len > TASK_SIZE) return addr;
  let inflated_addr = mm_get_unmapped_area(m, null, uaddr, inflated_len, 0, flags);
  if (inflated_addr < 0 || inflated_addr % PAGE_SIZE !== 0) return addr;
  const inflated_offset = inflated_addr % hpage_size;
  inflated_addr += offset - inflated_offset;
  if (inflated_offset > offset) inflated_addr += hpage_size;
  return inflated_addr > TASK_SIZE - len ? addr : inflated_addr;
}

/**
 * Returns the orders that may be allocated at an index, as a mask. shmem_huge_force is set for MADV_COLLAPSE
 * (mm/shmem.c: shmem_allowable_huge_orders()). Models a tmpfs mounted with huge=never.
 */
export function shmem_allowable_huge_orders(
  m: Machine,
  _node: inode,
  vma: vm_area_struct | null,
  _index: number,
  _write_end: number,
  shmem_huge_force: boolean,
): number {
  const vm_flags = vma === null ? 0 : vma.vm_flags;
  if (vma !== null && vma_thp_disabled(vma, vm_flags)) return 0;
  const mode = m.thp.shmem_enabled;
  if (mode === 'deny') return 0;
  if (shmem_huge_force || mode === 'force') return 1 << HPAGE_PMD_ORDER;
  if (mode === 'never') return 0;
  throw new Unmodelled(`mm/shmem.c: shmem_huge_global_enabled() with shmem_enabled ${mode}`);
}

/** Adds a new locked folio to a tmpfs page cache. Returns 0 or -EEXIST (mm/shmem.c: shmem_add_to_page_cache()). */
function shmem_add_to_page_cache(m: Machine, folio: number, mapping: address_space, index: number): number {
  BUG_ON(!folio_test_swapbacked(m, folio), 'mm/shmem.c: shmem_add_to_page_cache() of a folio that is not swapbacked');
  return __filemap_add_folio(m, mapping, folio, index);
}

/** mm/shmem.c: shmem_suitable_orders() */
function shmem_suitable_orders(
  m: Machine,
  vmf: vm_fault | null,
  mapping: address_space,
  index: number,
  orders: number,
): number {
  if (vmf !== null) orders = thp_vma_suitable_orders(vmf.vma, vmf.address, orders);
  if (orders === 0) return 0;
  let order = highest_order(orders);
  while (orders !== 0) {
    const pages = 2 ** order;
    if (mapping_range_empty(m, mapping, index - (index % pages), pages)) break;
    orders = next_order(orders, order);
    order = highest_order(orders);
  }
  return orders;
}

/**
 * Leaves out the retry after shrinking other inodes when a mount is full: no mount has a limit (mm/shmem.c:
 * shmem_alloc_and_add_folio()).
 */
function shmem_alloc_and_add_folio(
  m: Machine,
  vmf: vm_fault | null,
  node: inode,
  index: number,
  orders: number,
): number {
  const mapping = node.i_mapping as address_space;
  let folio = 0;
  if (orders > 0) {
    let suitable = shmem_suitable_orders(m, vmf, mapping, index, orders);
    let order = highest_order(suitable);
    while (suitable !== 0) {
      folio = folio_alloc(m, GFP_HIGHUSER_MOVABLE, order);
      if (folio !== 0) {
        index -= index % 2 ** order;
        break;
      }
      if (order === HPAGE_PMD_ORDER) count_vm_event(m, 'THP_FILE_FALLBACK');
      count_mthp_stat(m, order, MTHP_STAT_SHMEM_FALLBACK);
      suitable = next_order(suitable, order);
      order = highest_order(suitable);
    }
  } else folio = folio_alloc(m, GFP_HIGHUSER_MOVABLE, 0);
  if (folio === 0) return -ENOMEM;
  set_flags(m, folio, PG_locked | PG_swapbacked);
  let error = shmem_add_to_page_cache(m, folio, mapping, index);
  if (error === 0) {
    error = shmem_inode_acct_blocks(m, node, folio_nr_pages(m, folio));
    if (error === 0) {
      shmem_recalc_inode(m, node, folio_nr_pages(m, folio));
      folio_add_lru(m, folio);
      return folio;
    }
    filemap_remove_folio(m, folio);
  }
  folio_unlock(m, folio);
  folio_put(m, folio);
  return error;
}

/** Receives the VM_FAULT_* of a userfaultfd handler. NON-KERNEL (upstream: the fault_type pointer). */
interface fault_type {
  ret: number;
}

/**
 * Returns the locked folio at an index with a reference, 0 for a hole that `sgp` leaves alone or that userfaultfd
 * handled (type.ret is its result), or -errno (mm/shmem.c: shmem_get_folio_gfp()). Leaves out swap.
 */
function* shmem_get_folio_gfp(
  m: Machine,
  node: inode,
  index: number,
  write_end: number,
  sgp: number,
  vmf: vm_fault | null,
  type: fault_type | null,
): Gen<number> {
  const mapping = node.i_mapping as address_space;
  const vma = vmf === null ? null : vmf.vma;
  if (index > MAX_LFS_FILESIZE / PAGE_SIZE) return -EFBIG;
  for (;;) {
    if (sgp <= SGP_CACHE && index * PAGE_SIZE >= node.i_size) return -EINVAL;
    let alloced = false;
    let folio = filemap_get_entry(m, mapping, index);
    if (folio !== 0 && vma !== null && userfaultfd_minor(vma))
      throw new Unmodelled('shmem_get_folio_gfp: handle_userfault(VM_UFFD_MINOR)');
    let found = false;
    if (folio !== 0) {
      yield* folio_lock(m, folio);
      if (m.page.mapping[folio] !== mapping.id * 4) {
        folio_unlock(m, folio);
        folio_put(m, folio);
        continue;
      }
      if (sgp === SGP_WRITE) folio_mark_accessed(m, folio);
      if (folio_test_uptodate(m, folio)) return folio;
      if (sgp !== SGP_READ) found = true;
      else {
        folio_unlock(m, folio);
        folio_put(m, folio);
      }
    }
    if (!found) {
      if (sgp === SGP_READ) return 0;
      if (sgp === SGP_NOALLOC) return -ENOENT;
      if (vma !== null && vmf !== null && type !== null && userfaultfd_missing(vma)) {
        type.ret = yield* handle_userfault(m, vmf, VM_UFFD_MISSING);
        return 0;
      }
      const orders = shmem_allowable_huge_orders(m, node, vma, index, write_end, false);
      folio = 0;
      if (orders > 0) {
        folio = shmem_alloc_and_add_folio(m, vmf, node, index, orders);
        if (folio === -EEXIST) continue;
        if (folio > 0) {
          if (folio_nr_pages(m, folio) === 512) count_vm_event(m, 'THP_FILE_ALLOC');
          count_mthp_stat(m, highest_order(folio_nr_pages(m, folio)), MTHP_STAT_SHMEM_ALLOC);
        }
      }
      if (folio <= 0) {
        folio = shmem_alloc_and_add_folio(m, vmf, node, index, 0);
        if (folio === -EEXIST) continue;
        if (folio < 0) {
          shmem_recalc_inode(m, node, 0);
          return folio;
        }
      }
      alloced = true;
      if (sgp === SGP_WRITE) folio_set_referenced(m, folio);
      if (sgp === SGP_FALLOC) sgp = SGP_WRITE;
    }
    if (sgp !== SGP_WRITE && !folio_test_uptodate(m, folio)) {
      const pfn = folio_pfn(m, folio);
      for (let i = 0, n = folio_nr_pages(m, folio); i < n; i++) m.ram.clear(pfn + i);
      folio_mark_uptodate(m, folio);
    }
    if (sgp <= SGP_CACHE && index * PAGE_SIZE >= node.i_size) {
      if (alloced) filemap_remove_folio(m, folio);
      shmem_recalc_inode(m, node, 0);
      folio_unlock(m, folio);
      folio_put(m, folio);
      return -EINVAL;
    }
    return folio;
  }
}

/**
 * Returns the locked folio at an index with a reference, 0 for a hole that `sgp` (SGP_*) leaves alone, or -errno
 * (mm/shmem.c: shmem_get_folio()).
 */
function* shmem_get_folio(m: Machine, node: inode, index: number, write_end: number, sgp: number): Gen<number> {
  return yield* shmem_get_folio_gfp(m, node, index, write_end, sgp, null, null);
}

/** mm/shmem.c: shmem_falloc_wait() */
function* shmem_falloc_wait(m: Machine, vmf: vm_fault, falloc: shmem_falloc): Gen<number> {
  if (falloc.waitq === null || vmf.pgoff < falloc.start || vmf.pgoff >= falloc.next) return 0;
  const fpin = maybe_unlock_mmap_for_io(m, vmf, null);
  yield* wait_on(m, falloc.waitq);
  if (fpin === null) return VM_FAULT_NOPAGE;
  fput(m, fpin);
  return VM_FAULT_RETRY;
}

/** Finds or allocates the page of a fault, locked, in vmf.page (mm/shmem.c: shmem_fault()). */
function* shmem_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const node = vmf.vma.vm_file?.f_inode as inode;
  const falloc = SHMEM_I(node).falloc;
  if (falloc !== null) {
    const ret = yield* shmem_falloc_wait(m, vmf, falloc);
    if (ret !== 0) return ret;
  }
  const type: fault_type = { ret: 0 };
  const folio = yield* shmem_get_folio_gfp(m, node, vmf.pgoff, 0, SGP_CACHE, vmf, type);
  if (folio < 0) return folio === -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
  if (folio === 0) return type.ret;
  vmf.page = folio + (vmf.pgoff - m.page.index[folio]);
  return type.ret | VM_FAULT_LOCKED;
}

/** Returns the locked folio at the edge of a range, or 0 (mm/shmem.c: shmem_get_partial_folio()). */
function* shmem_get_partial_folio(m: Machine, node: inode, index: number): Gen<number> {
  const mapping = node.i_mapping as address_space;
  const folio = filemap_get_entry(m, mapping, index);
  if (folio !== 0) {
    yield* folio_lock(m, folio);
    if (m.page.mapping[folio] === mapping.id * 4) return folio;
    folio_unlock(m, folio);
    folio_put(m, folio);
  }
  return Math.max(0, yield* shmem_get_folio(m, node, index, 0, SGP_READ));
}

/** Leaves out swapped pages: there is no swap (mm/shmem.c: shmem_undo_range()). */
function* shmem_undo_range(m: Machine, node: inode, lstart: number, lend: number, unfalloc: boolean): Gen<void> {
  const mapping = node.i_mapping as address_space;
  const info = SHMEM_I(node);
  let start = Math.ceil(lstart / PAGE_SIZE);
  let end = lend === Infinity ? Infinity : Math.floor((lend + 1) / PAGE_SIZE);
  if (info.fallocend > start && info.fallocend <= end && !unfalloc) info.fallocend = start;
  for (const first of mapping_indices(mapping, start, end - 1)) {
    const folio = mapping_load(m, mapping, first);
    if (folio === 0) continue;
    const next = first + folio_nr_pages(m, folio);
    if (m.page.index[folio] !== first || first < start || next > end || filemap_get_entry(m, mapping, first) !== folio)
      continue;
    if (folio_trylock(m, folio)) {
      if (m.page.mapping[folio] === mapping.id * 4 && (!unfalloc || !folio_test_uptodate(m, folio)))
        yield* truncate_inode_folio(m, mapping, folio);
      folio_unlock(m, folio);
    }
    folio_put(m, folio);
    yield* cond_resched(m);
  }
  if (!unfalloc) {
    let same_folio = Math.floor(lstart / PAGE_SIZE) === Math.floor(lend / PAGE_SIZE);
    let folio = yield* shmem_get_partial_folio(m, node, Math.floor(lstart / PAGE_SIZE));
    if (folio !== 0) {
      const next = m.page.index[folio] + folio_nr_pages(m, folio);
      same_folio = lend < next * PAGE_SIZE;
      folio_mark_dirty(m, folio);
      if (!(yield* truncate_inode_partial_folio(m, folio, lstart, lend))) {
        start = m.page.index[folio] + folio_nr_pages(m, folio);
        if (same_folio) end = m.page.index[folio];
      }
      folio_unlock(m, folio);
      folio_put(m, folio);
    }
    folio = same_folio || lend === Infinity ? 0 : yield* shmem_get_partial_folio(m, node, Math.floor(lend / PAGE_SIZE));
    if (folio !== 0) {
      folio_mark_dirty(m, folio);
      if (!(yield* truncate_inode_partial_folio(m, folio, lstart, lend))) end = m.page.index[folio];
      folio_unlock(m, folio);
      folio_put(m, folio);
    }
  }
  let index = start;
  for (;;) {
    yield* cond_resched(m);
    const found = mapping_next_index(m, mapping, index, end - 1);
    if (found < 0) {
      if (index === start || end !== Infinity) break;
      index = start;
      continue;
    }
    const folio = filemap_get_entry(m, mapping, found);
    if (folio === 0) continue;
    index = m.page.index[folio] + folio_nr_pages(m, folio);
    yield* folio_lock(m, folio);
    if (!unfalloc || !folio_test_uptodate(m, folio)) {
      if (m.page.mapping[folio] !== mapping.id * 4) index = found;
      else if (!folio_test_large(m, folio)) yield* truncate_inode_folio(m, mapping, folio);
      else if ((yield* truncate_inode_partial_folio(m, folio, lstart, lend)) && !folio_test_large(m, folio))
        index = start;
    }
    folio_unlock(m, folio);
    folio_put(m, folio);
  }
  shmem_recalc_inode(m, node, 0);
}

/** Frees the bytes [lstart, lend] of a file; lend may be Infinity (mm/shmem.c: shmem_truncate_range()). */
function* shmem_truncate_range(m: Machine, node: inode, lstart: number, lend: number): Gen<void> {
  yield* shmem_undo_range(m, node, lstart, lend, false);
}

/** Sets a file's size with i_rwsem held, as ftruncate() does. Returns 0 or -errno (mm/shmem.c: shmem_setattr()). */
function* shmem_setattr_size(m: Machine, f: file, newsize: number): Gen<number> {
  const node = f.f_inode;
  const info = SHMEM_I(node);
  const oldsize = node.i_size;
  if (newsize !== oldsize) {
    if (!info.noreserve) {
      const more = PAGE_ALIGN(newsize) / PAGE_SIZE - PAGE_ALIGN(oldsize) / PAGE_SIZE;
      if (more > 0 && security_vm_enough_memory_mm(m, m.current.mm as mm_struct, more) !== 0) return -ENOMEM;
      if (more < 0) vm_unacct_memory(m, -more);
    }
    node.i_size = newsize;
  }
  if (newsize <= oldsize) {
    const holebegin = PAGE_ALIGN(newsize);
    const mapping = node.i_mapping as address_space;
    if (oldsize > holebegin) yield* unmap_mapping_range(m, mapping, holebegin, 0, true);
    if (info.alloced > 0) yield* shmem_truncate_range(m, node, newsize, Infinity);
    if (oldsize > holebegin) yield* unmap_mapping_range(m, mapping, holebegin, 0, true);
  }
  return 0;
}

/** Punches a hole or allocates pages. Returns 0 or -errno (mm/shmem.c: shmem_fallocate()). */
function* shmem_fallocate(m: Machine, f: file, mode: number, offset: number, len: number): Gen<number> {
  const node = f.f_inode;
  const info = SHMEM_I(node);
  const mapping = node.i_mapping as address_space;
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) return -EOPNOTSUPP;
  yield* down_write(m, node.i_rwsem);
  if (mode & FALLOC_FL_PUNCH_HOLE) {
    const unmap_start = PAGE_ALIGN(offset);
    const unmap_end = offset + len - ((offset + len) % PAGE_SIZE) - 1;
    const waitq = new wait_queue_head('shmem_falloc');
    info.falloc = { waitq, start: unmap_start / PAGE_SIZE, next: (unmap_end + 1) / PAGE_SIZE };
    if (unmap_end > unmap_start)
      yield* unmap_mapping_range(m, mapping, unmap_start, 1 + unmap_end - unmap_start, false);
    yield* shmem_truncate_range(m, node, offset, offset + len - 1);
    info.falloc = null;
    wake_up(m, waitq);
    up_write(m, node.i_rwsem);
    return 0;
  }
  const start = Math.floor(offset / PAGE_SIZE);
  const end = Math.ceil((offset + len) / PAGE_SIZE);
  info.falloc = { waitq: null, start, next: start };
  const undo_fallocend = info.fallocend;
  if (info.fallocend < end) info.fallocend = end;
  let error = 0;
  for (let index = start; index < end; ) {
    const folio = fatal_signal_pending(m.current)
      ? -EINTR
      : yield* shmem_get_folio(m, node, index, offset + len, SGP_FALLOC);
    if (folio < 0) {
      error = folio;
      info.fallocend = undo_fallocend;
      if (index > start) yield* shmem_undo_range(m, node, start * PAGE_SIZE, index * PAGE_SIZE - 1, true);
      break;
    }
    index = m.page.index[folio] + folio_nr_pages(m, folio);
    info.falloc.next = index;
    folio_mark_dirty(m, folio);
    folio_unlock(m, folio);
    folio_put(m, folio);
    yield* cond_resched(m);
  }
  if (error === 0 && !(mode & FALLOC_FL_KEEP_SIZE) && offset + len > node.i_size) node.i_size = offset + len;
  info.falloc = null;
  up_write(m, node.i_rwsem);
  return error;
}

/** Reads a file into user memory. Returns bytes or -errno (mm/shmem.c: shmem_file_read_iter()). */
function* shmem_file_read(m: Machine, f: file, buf: number, count: number, pos: number): Gen<number> {
  const node = f.f_inode;
  let done = 0;
  let error = 0;
  while (done < count) {
    const at = pos + done;
    if (at >= node.i_size) break;
    const folio = yield* shmem_get_folio(m, node, Math.floor(at / PAGE_SIZE), 0, SGP_READ);
    if (folio < 0) {
      if (folio !== -EINVAL) error = folio;
      break;
    }
    if (folio !== 0) folio_unlock(m, folio);
    if (at >= node.i_size) {
      if (folio !== 0) folio_put(m, folio);
      break;
    }
    const off = at % PAGE_SIZE;
    const nr = Math.min(Math.min(node.i_size - at, count - done), PAGE_SIZE - off);
    let left: number;
    if (folio !== 0) {
      if (off === 0) folio_mark_accessed(m, folio);
      const pfn = folio_pfn(m, folio) + Math.floor(at / PAGE_SIZE) - m.page.index[folio];
      left = yield* copy_to_user(m, buf + done, m.ram.bytes(pfn).subarray(off, off + nr), nr);
      folio_put(m, folio);
    } else left = yield* clear_user(m, buf + done, nr);
    done += nr - left;
    if (left > 0) {
      error = -EFAULT;
      break;
    }
    yield* cond_resched(m);
  }
  return done > 0 ? done : error;
}

/** Reads a tmpfs file for the kernel. Returns the bytes, fewer at its end. NON-KERNEL (shmem_file_read_iter()). */
export function* shmem_kernel_read(m: Machine, node: inode, pos: number, count: number): Gen<Uint8Array> {
  const out = new Uint8Array(Math.max(0, Math.min(count, node.i_size - pos)));
  for (let done = 0; done < out.length; ) {
    const at = pos + done;
    const nr = Math.min(out.length - done, PAGE_SIZE - (at % PAGE_SIZE));
    const folio = yield* shmem_get_folio(m, node, Math.floor(at / PAGE_SIZE), 0, SGP_READ);
    if (folio > 0) {
      const pfn = folio_pfn(m, folio) + Math.floor(at / PAGE_SIZE) - m.page.index[folio];
      const off = at % PAGE_SIZE;
      out.set(m.ram.bytes(pfn).subarray(off, off + nr), done);
      folio_unlock(m, folio);
      folio_put(m, folio);
    } else if (folio < 0) return out.subarray(0, done);
    done += nr;
  }
  return out;
}

/** Fills an empty tmpfs file for the kernel. Returns 0 or -errno. NON-KERNEL (shmem_file_write_iter()). */
export function* shmem_kernel_write(m: Machine, node: inode, bytes: Uint8Array): Gen<number> {
  for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
    const end = Math.min(bytes.length, at + PAGE_SIZE);
    const folio = yield* shmem_get_folio(m, node, at / PAGE_SIZE, end, SGP_WRITE);
    if (folio < 0) return folio;
    const pfn = folio_pfn(m, folio) + at / PAGE_SIZE - m.page.index[folio];
    m.ram.bytes(pfn).set(bytes.subarray(at, end));
    shmem_write_end(m, node, at, end - at, folio);
  }
  return 0;
}

/** mm/shmem.c: shmem_write_end() */
function shmem_write_end(m: Machine, node: inode, pos: number, copied: number, folio: number): void {
  if (pos + copied > node.i_size) node.i_size = pos + copied;
  if (!folio_test_uptodate(m, folio)) {
    const size = folio_size(m, folio);
    if (copied < size) {
      const from = pos % size;
      folio_zero_range(m, folio, 0, from);
      folio_zero_range(m, folio, from + copied, size - from - copied);
    }
    folio_mark_uptodate(m, folio);
  }
  folio_mark_dirty(m, folio);
  folio_unlock(m, folio);
  folio_put(m, folio);
}

/**
 * Writes user memory to a file. Returns bytes or -errno (mm/shmem.c: shmem_file_write_iter(), mm/filemap.c:
 * generic_perform_write()).
 */
function* shmem_file_write(m: Machine, f: file, buf: number, count: number, pos: number): Gen<number> {
  const node = f.f_inode;
  yield* down_write(m, node.i_rwsem);
  let done = 0;
  let status = 0;
  let limit = Number.MAX_SAFE_INTEGER;
  while (done < count) {
    if (fatal_signal_pending(m.current)) {
      status = -EINTR;
      break;
    }
    const at = pos + done;
    const want = Math.min(count - done, limit, PAGE_SIZE - (at % PAGE_SIZE));
    const folio = yield* shmem_get_folio(m, node, Math.floor(at / PAGE_SIZE), at + want, SGP_WRITE);
    if (folio < 0) {
      status = folio;
      break;
    }
    const off = at % PAGE_SIZE;
    const pfn = folio_pfn(m, folio) + Math.floor(at / PAGE_SIZE) - m.page.index[folio];
    m.current.pagefault_disabled++;
    const left = yield* copy_from_user(m, m.ram.bytes(pfn).subarray(off, off + want), buf + done, want);
    m.current.pagefault_disabled--;
    const copied = want - left;
    shmem_write_end(m, node, at, copied, folio);
    yield* cond_resched(m);
    limit = Number.MAX_SAFE_INTEGER;
    if (copied === 0) {
      if ((yield* fault_in_readable(m, buf + done, want)) === want) {
        status = -EFAULT;
        break;
      }
    } else done += copied;
  }
  up_write(m, node.i_rwsem);
  return done > 0 ? done : status;
}

/** Sets up a mapping as shmem_mmap_prepare() does (mm/shmem.c: shmem_mmap_prepare()). */
function* shmem_mmap(_m: Machine, f: file, vma: vm_area_struct): Gen<number> {
  vma.vm_ops = f.f_inode.i_nlink > 0 ? shmem_vm_ops : shmem_anon_vm_ops;
  return 0;
}

/** Operations of an open tmpfs file (mm/shmem.c: shmem_file_operations). */
export const shmem_file_operations: file_operations = {
  read: shmem_file_read,
  write: shmem_file_write,
  mmap: shmem_mmap,
  fallocate: shmem_fallocate,
  setattr_size: shmem_setattr_size,
  get_unmapped_area: shmem_get_unmapped_area,
};

/** Returns an unnamed file in the tmpfs at `path`, open with `flags` (mm/shmem.c: shmem_tmpfile()). */
export function shmem_tmpfile(m: Machine, path: string, flags: number, _mode: number): file | number {
  const node = shmem_new_inode(m, VM_NORESERVE);
  const f = alloc_file(m, node, `${path}/#${node.i_ino} (deleted)`, flags, shmem_file_operations);
  f.f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
  node.i_count--;
  return f;
}

// The operations of mm/shmem.c: shmem_uffd_ops follow.

/**
 * Allocates a page for UFFDIO_COPY, not yet in the file. Returns 0 without memory or beyond the file (mm/shmem.c:
 * shmem_mfill_folio_alloc()).
 */
export function shmem_mfill_folio_alloc(m: Machine, vma: vm_area_struct, addr: number): number {
  const node = vma.vm_file?.f_inode as inode;
  if (linear_page_index(vma, addr) >= Math.ceil(node.i_size / PAGE_SIZE)) return 0;
  return folio_alloc(m, GFP_HIGHUSER_MOVABLE, 0);
}

/** Adds the page to the file, locked. Returns 0 or -errno (mm/shmem.c: shmem_mfill_filemap_add()). */
export function shmem_mfill_filemap_add(m: Machine, folio: number, vma: vm_area_struct, addr: number): number {
  const node = vma.vm_file?.f_inode as inode;
  set_flags(m, folio, PG_locked | PG_swapbacked);
  let err = shmem_add_to_page_cache(m, folio, node.i_mapping as address_space, linear_page_index(vma, addr));
  if (err === 0) {
    if (shmem_inode_acct_blocks(m, node, 1) === 0) {
      folio_add_lru(m, folio);
      shmem_recalc_inode(m, node, 1);
      return 0;
    }
    err = -ENOMEM;
    filemap_remove_folio(m, folio);
  }
  folio_unlock(m, folio);
  return err;
}

/** Removes the page from the file again (mm/shmem.c: shmem_mfill_filemap_remove()). */
export function shmem_mfill_filemap_remove(m: Machine, folio: number, vma: vm_area_struct): void {
  const node = vma.vm_file?.f_inode as inode;
  filemap_remove_folio(m, folio);
  shmem_recalc_inode(m, node, 0);
  folio_unlock(m, folio);
}

/** Handles a write to transparent_hugepage/shmem_enabled. Returns 0 or -EINVAL (mm/shmem.c: shmem_enabled_store()). */
export function shmem_enabled_store(m: Machine, buf: string): number {
  const word = buf.endsWith('\n') ? buf.slice(0, -1) : buf;
  switch (word) {
    case 'always':
    case 'within_size':
    case 'advise':
    case 'never':
    case 'deny':
    case 'force':
      m.thp.shmem_enabled = word;
      return 0;
    default:
      return -EINVAL;
  }
}

/** Returns the text of transparent_hugepage/shmem_enabled (mm/shmem.c: shmem_enabled_show()). */
export function shmem_enabled_show(m: Machine): string {
  return pick(SHMEM_MODES, m.thp.shmem_enabled);
}
