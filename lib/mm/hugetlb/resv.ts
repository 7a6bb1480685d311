// SPDX-License-Identifier: GPL-2.0-only
// Reservations of hugetlb files and of private mappings. Leaves out subpools: the internal mounts of hugetlbfs have no
// size limit, so every subpool function would return its argument.

import type { Machine } from '../../machine.ts';
import type { inode } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import {
  down_read,
  down_write,
  down_write_trylock,
  rw_semaphore,
  up_read,
  up_write,
} from '../../kernel/locking/rwsem.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { is_vm_hugetlb_page, linear_page_index, type vm_area_struct, VM_MAYSHARE } from '../mm_types.ts';
import type { hstate } from './pool.ts';

export const HPAGE_RESV_OWNER = 1;
export const HPAGE_RESV_UNMAPPED = 2;

/** Huge pages [from, to) of a file (include/linux/hugetlb.h: struct file_region). */
interface file_region {
  from: number;
  to: number;
}

/**
 * For a file, the huge pages that were ever reserved. For a private mapping the opposite: the huge pages whose
 * reservation is consumed (include/linux/hugetlb.h: struct resv_map). Allocating a region never fails here.
 */
export class resv_map {
  refs = 1;
  regions: file_region[] = [];
  adds_in_progress = 0;
  readonly rw_sema = new rw_semaphore('resv_map');
}

/** Lock of a shared mapping against truncation (include/linux/hugetlb.h: struct hugetlb_vma_lock). */
export class hugetlb_vma_lock {
  refs = 1;
  readonly rw_sema = new rw_semaphore('hugetlb_vma_lock');
  vma: vm_area_struct | null;
  constructor(vma: vm_area_struct) {
    this.vma = vma;
  }
}

/**
 * Value of vm_private_data of a private mapping: the map and HPAGE_RESV_* flags, which upstream keeps in the low bits
 * of the pointer. Immutable. NON-KERNEL.
 */
class vma_resv {
  readonly map: resv_map | null;
  readonly flags: number;
  constructor(map: resv_map | null, flags: number) {
    this.map = map;
    this.flags = flags;
  }
}

/** hugetlbfs's part of an inode (include/linux/hugetlb.h: struct hugetlbfs_inode_info). */
export class hugetlbfs_inode_info {
  readonly hstate: hstate;
  readonly resv_map = new resv_map();
  constructor(h: hstate) {
    this.hstate = h;
  }
}

/** Returns the hugetlbfs part of an inode (include/linux/hugetlb.h: HUGETLBFS_I()). */
export function HUGETLBFS_I(node: inode): hugetlbfs_inode_info {
  return node.i_private as hugetlbfs_inode_info;
}

/**
 * Counts the pages of [f, t) that are in no region (mm/hugetlb.c: add_reservation_in_range()). Leaves out the
 * insertion.
 */
function missing(resv: resv_map, f: number, t: number): number {
  return t - f - region_count(resv, f, t);
}

/**
 * Returns the number of pages of [f, t) that region_add() would add. One region_add() or region_abort() has to follow
 * (mm/hugetlb.c: region_chg()).
 */
export function region_chg(resv: resv_map, f: number, t: number): number {
  resv.adds_in_progress++;
  return missing(resv, f, t);
}

/** Adds [f, t) to the map. Returns the number of pages that are new (mm/hugetlb.c: region_add()). */
export function region_add(resv: resv_map, f: number, t: number): number {
  const add = missing(resv, f, t);
  let from = f;
  let to = t;
  const rest: file_region[] = [];
  for (const rg of resv.regions) {
    if (rg.to < from || rg.from > to) rest.push(rg);
    else {
      from = Math.min(from, rg.from);
      to = Math.max(to, rg.to);
    }
  }
  rest.push({ from, to });
  resv.regions = rest.sort((a, b) => a.from - b.from);
  resv.adds_in_progress--;
  return add;
}

/** Ends a region_chg() without adding (mm/hugetlb.c: region_abort()). */
export function region_abort(resv: resv_map, _f: number, _t: number): void {
  resv.adds_in_progress--;
}

/**
 * Removes [f, t) from the map; t may be Infinity. Returns the number of pages that were in it (mm/hugetlb.c:
 * region_del()).
 */
export function region_del(resv: resv_map, f: number, t: number): number {
  const del = region_count(resv, f, t);
  const rest: file_region[] = [];
  for (const rg of resv.regions) {
    if (rg.from < f) rest.push({ from: rg.from, to: Math.min(rg.to, f) });
    if (rg.to > t) rest.push({ from: Math.max(rg.from, t), to: rg.to });
  }
  resv.regions = rest.filter((rg) => rg.to > rg.from);
  return del;
}

/** Returns the number of pages of [f, t) that are in the map (mm/hugetlb.c: region_count()). */
export function region_count(resv: resv_map, f: number, t: number): number {
  let n = 0;
  for (const rg of resv.regions) n += Math.max(0, Math.min(rg.to, t) - Math.max(rg.from, f));
  return n;
}

/** Drops a reference to a map (mm/hugetlb.c: resv_map_release()). */
export function resv_map_put(resv: resv_map): void {
  resv.refs--;
  if (resv.refs === 0) BUG_ON(resv.adds_in_progress !== 0, 'mm/hugetlb.c: resv_map_release() with adds in progress');
}

/** Returns vm_private_data of a private mapping, or null. NON-KERNEL: upstream masks pointer bits. */
function private_data(vma: vm_area_struct): vma_resv | null {
  return vma.vm_private_data instanceof vma_resv ? vma.vm_private_data : null;
}

/** Returns the reservation map of the vma's file or of the private mapping, or null (mm/hugetlb.c: vma_resv_map()). */
export function vma_resv_map(vma: vm_area_struct): resv_map | null {
  BUG_ON(!is_vm_hugetlb_page(vma), 'mm/hugetlb.c: vma_resv_map() of a vma that is not hugetlb');
  if (vma.vm_flags & VM_MAYSHARE) return vma.vm_file === null ? null : HUGETLBFS_I(vma.vm_file.f_inode).resv_map;
  return private_data(vma)?.map ?? null;
}

/** Sets the reservation map of a private mapping and clears its flags (mm/hugetlb.c: set_vma_resv_map()). */
export function set_vma_resv_map(m: Machine, vma: vm_area_struct, map: resv_map | null): void {
  WARN_ON_ONCE(m, (vma.vm_flags & VM_MAYSHARE) !== 0, 'set_vma_resv_map');
  vma.vm_private_data = map === null ? null : new vma_resv(map, 0);
}

/** Sets HPAGE_RESV_* flags of a private mapping (mm/hugetlb.c: set_vma_resv_flags()). */
export function set_vma_resv_flags(m: Machine, vma: vm_area_struct, flags: number): void {
  WARN_ON_ONCE(m, (vma.vm_flags & VM_MAYSHARE) !== 0, 'set_vma_resv_flags');
  const old = private_data(vma);
  vma.vm_private_data = new vma_resv(old?.map ?? null, (old?.flags ?? 0) | flags);
}

/** Returns true if a HPAGE_RESV_* flag of the mapping is set (mm/hugetlb.c: is_vma_resv_set()). */
export function is_vma_resv_set(vma: vm_area_struct, flag: number): boolean {
  return ((private_data(vma)?.flags ?? 0) & flag) !== 0;
}

/** Returns the file index of an address in huge pages (mm/hugetlb.c: vma_hugecache_offset()). */
export function vma_hugecache_offset(h: hstate, vma: vm_area_struct, address: number): number {
  return Math.floor(linear_page_index(vma, address) / 2 ** h.order);
}

/** Returns the vma lock of a shared mapping, or null (include/linux/hugetlb.h: __vma_shareable_lock()). */
function __vma_shareable_lock(vma: vm_area_struct): hugetlb_vma_lock | null {
  return vma.vm_flags & VM_MAYSHARE && vma.vm_private_data instanceof hugetlb_vma_lock ? vma.vm_private_data : null;
}

/** Returns true for a private mapping with a reservation map of its own (mm/hugetlb.c: __vma_private_lock()). */
export function __vma_private_lock(vma: vm_area_struct): boolean {
  return (
    !(vma.vm_flags & VM_MAYSHARE) && (private_data(vma)?.map ?? null) !== null && is_vma_resv_set(vma, HPAGE_RESV_OWNER)
  );
}

/**
 * Returns the semaphore that protects the vma's page tables, or null. NON-KERNEL: the common part of upstream's
 * hugetlb_vma_lock_read() and the like.
 */
function vma_sema(vma: vm_area_struct): rw_semaphore | null {
  const lock = __vma_shareable_lock(vma);
  if (lock !== null) return lock.rw_sema;
  return __vma_private_lock(vma) ? (vma_resv_map(vma) as resv_map).rw_sema : null;
}

/** Protects the vma's pages against truncation (mm/hugetlb.c: hugetlb_vma_lock_read()). */
export function* hugetlb_vma_lock_read(m: Machine, vma: vm_area_struct): Gen<void> {
  const sema = vma_sema(vma);
  if (sema !== null) yield* down_read(m, sema);
}

/** Releases hugetlb_vma_lock_read() (mm/hugetlb.c: hugetlb_vma_unlock_read()). */
export function hugetlb_vma_unlock_read(m: Machine, vma: vm_area_struct): void {
  const sema = vma_sema(vma);
  if (sema !== null) up_read(m, sema);
}

/** Excludes faults and page table walks of the vma (mm/hugetlb.c: hugetlb_vma_lock_write()). */
export function* hugetlb_vma_lock_write(m: Machine, vma: vm_area_struct): Gen<void> {
  const sema = vma_sema(vma);
  if (sema !== null) yield* down_write(m, sema);
}

/** Releases hugetlb_vma_lock_write() (mm/hugetlb.c: hugetlb_vma_unlock_write()). */
export function hugetlb_vma_unlock_write(m: Machine, vma: vm_area_struct): void {
  const sema = vma_sema(vma);
  if (sema !== null) up_write(m, sema);
}

/** Takes the vma lock for writing if it is free (mm/hugetlb.c: hugetlb_vma_trylock_write()). */
export function hugetlb_vma_trylock_write(m: Machine, vma: vm_area_struct): boolean {
  const sema = vma_sema(vma);
  return sema === null || down_write_trylock(m, sema);
}

/**
 * Detaches the lock from its vma, releases it and drops a reference (mm/hugetlb.c: __hugetlb_vma_unlock_write_put()).
 */
function unlock_write_put(m: Machine, lock: hugetlb_vma_lock): void {
  const vma = lock.vma;
  lock.vma = null;
  if (vma !== null) vma.vm_private_data = null;
  up_write(m, lock.rw_sema);
  lock.refs--;
}

/** Releases the vma lock and frees it at the last unmap (mm/hugetlb.c: __hugetlb_vma_unlock_write_free()). */
export function __hugetlb_vma_unlock_write_free(m: Machine, vma: vm_area_struct): void {
  const lock = __vma_shareable_lock(vma);
  if (lock !== null) unlock_write_put(m, lock);
  else if (__vma_private_lock(vma)) up_write(m, (vma_resv_map(vma) as resv_map).rw_sema);
}

/** Frees the vma lock of a shared mapping (mm/hugetlb.c: hugetlb_vma_lock_free()). */
export function* hugetlb_vma_lock_free(m: Machine, vma: vm_area_struct | null): Gen<void> {
  if (vma === null) return;
  const lock = __vma_shareable_lock(vma);
  if (lock === null) return;
  yield* down_write(m, lock.rw_sema);
  unlock_write_put(m, lock);
}

/** Allocates the vma lock of a shared mapping (mm/hugetlb.c: hugetlb_vma_lock_alloc()). */
export function hugetlb_vma_lock_alloc(vma: vm_area_struct | null): void {
  if (vma === null || !(vma.vm_flags & VM_MAYSHARE) || vma.vm_private_data !== null) return;
  vma.vm_private_data = new hugetlb_vma_lock(vma);
}

/** Clears the reservations of a copied private vma: a child has none (mm/hugetlb.c: hugetlb_dup_vma_private()). */
export function hugetlb_dup_vma_private(_m: Machine, vma: vm_area_struct): void {
  if (vma.vm_flags & VM_MAYSHARE) {
    const lock = __vma_shareable_lock(vma);
    if (lock !== null && lock.vma !== vma) vma.vm_private_data = null;
  } else vma.vm_private_data = null;
}

/**
 * Clears the reservations of a vma that mremap() moved; the new vma owns them (mm/hugetlb.c:
 * clear_vma_resv_huge_pages()).
 */
function clear_vma_resv_huge_pages(m: Machine, vma: vm_area_struct): void {
  const reservations = vma_resv_map(vma);
  if (reservations !== null && is_vma_resv_set(vma, HPAGE_RESV_OWNER)) resv_map_put(reservations);
  hugetlb_dup_vma_private(m, vma);
}

/**
 * Calls clear_vma_resv_huge_pages() for a hugetlb vma, under the file's i_mmap_rwsem; does nothing for other vmas
 * (mm/hugetlb.c: fixup_hugetlb_reservations()).
 */
export function* fixup_hugetlb_reservations(m: Machine, vma: vm_area_struct): Gen<void> {
  if (!is_vm_hugetlb_page(vma)) return;
  const sem = vma.vm_file?.f_mapping?.i_mmap_rwsem ?? null;
  if (sem !== null) yield* down_write(m, sem);
  clear_vma_resv_huge_pages(m, vma);
  if (sem !== null) up_write(m, sem);
}

// Modes of __vma_reservation_common() (mm/hugetlb.c: enum vma_resv_mode).
const VMA_NEEDS_RESV = 0;
const VMA_COMMIT_RESV = 1;
const VMA_END_RESV = 2;
const VMA_ADD_RESV = 3;
const VMA_DEL_RESV = 4;

/** Looks up or changes the reservation of one huge page (mm/hugetlb.c: __vma_reservation_common()). */
function __vma_reservation_common(h: hstate, vma: vm_area_struct, addr: number, mode: number): number {
  const resv = vma_resv_map(vma);
  if (resv === null) return 1;
  const idx = vma_hugecache_offset(h, vma, addr);
  const shared = (vma.vm_flags & VM_MAYSHARE) !== 0;
  let ret = 0;
  switch (mode) {
    case VMA_NEEDS_RESV:
      ret = region_chg(resv, idx, idx + 1);
      break;
    case VMA_COMMIT_RESV:
      ret = region_add(resv, idx, idx + 1);
      break;
    case VMA_END_RESV:
      region_abort(resv, idx, idx + 1);
      break;
    case VMA_ADD_RESV:
      if (shared) ret = region_add(resv, idx, idx + 1);
      else {
        region_abort(resv, idx, idx + 1);
        ret = region_del(resv, idx, idx + 1);
      }
      break;
    case VMA_DEL_RESV:
      if (shared) {
        region_abort(resv, idx, idx + 1);
        ret = region_del(resv, idx, idx + 1);
      } else ret = region_add(resv, idx, idx + 1);
      break;
  }
  if (shared || mode === VMA_DEL_RESV) return ret;
  return ret > 0 ? 0 : 1;
}

/**
 * Returns 0 if the huge page at addr is reserved, else 1. vma_commit_reservation() or vma_end_reservation() has to
 * follow (mm/hugetlb.c: vma_needs_reservation()).
 */
export function vma_needs_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_NEEDS_RESV);
}

/**
 * Records that the huge page was allocated. Returns what vma_needs_reservation() returned (mm/hugetlb.c:
 * vma_commit_reservation()).
 */
export function vma_commit_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_COMMIT_RESV);
}

/** Ends a vma_needs_reservation() without an allocation (mm/hugetlb.c: vma_end_reservation()). */
export function vma_end_reservation(h: hstate, vma: vm_area_struct, addr: number): void {
  __vma_reservation_common(h, vma, addr, VMA_END_RESV);
}

/** Restores the reservation of a huge page (mm/hugetlb.c: vma_add_reservation()). */
export function vma_add_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_ADD_RESV);
}

/** Removes the entry that an allocation without a reservation made in the map (mm/hugetlb.c: vma_del_reservation()). */
export function vma_del_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_DEL_RESV);
}
