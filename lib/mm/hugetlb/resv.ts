// SPDX-License-Identifier: GPL-2.0-only
// What is reserved of a hugetlb file or of a private mapping. The internal mounts of hugetlbfs have no size limit, so
// upstream's subpools are left out: each of their functions would answer what it was given.

import type { Machine } from '../../boot.ts';
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
 * For a file: the huge pages that a reservation was ever made for. For a private mapping the other way round: those
 * whose reservation is used up (include/linux/hugetlb.h: struct resv_map). Memory for it never runs out here.
 */
export class resv_map {
  refs = 1;
  regions: file_region[] = [];
  adds_in_progress = 0;
  readonly rw_sema = new rw_semaphore('resv_map');
}

/** The lock of a shared mapping against truncation (include/linux/hugetlb.h: struct hugetlb_vma_lock). */
export class hugetlb_vma_lock {
  refs = 1;
  readonly rw_sema = new rw_semaphore('hugetlb_vma_lock');
  vma: vm_area_struct | null;
  constructor(vma: vm_area_struct) {
    this.vma = vma;
  }
}

/**
 * What vm_private_data of a private mapping holds: upstream keeps the flags in the low bits of the pointer. Never
 * changed, only replaced.
 */
class vma_resv {
  readonly map: resv_map | null;
  readonly flags: number;
  constructor(map: resv_map | null, flags: number) {
    this.map = map;
    this.flags = flags;
  }
}

/** What hugetlbfs keeps for an inode (include/linux/hugetlb.h: struct hugetlbfs_inode_info). */
export class hugetlbfs_inode_info {
  readonly hstate: hstate;
  readonly resv_map = new resv_map();
  constructor(h: hstate) {
    this.hstate = h;
  }
}

/** include/linux/hugetlb.h: HUGETLBFS_I() */
export function HUGETLBFS_I(node: inode): hugetlbfs_inode_info {
  return node.i_private as hugetlbfs_inode_info;
}

/** Pages of [f, t) that no region holds (mm/hugetlb.c: add_reservation_in_range(), counting). */
function missing(resv: resv_map, f: number, t: number): number {
  return t - f - region_count(resv, f, t);
}

/**
 * How many pages of [f, t) a region_add() would add; one region_add() or region_abort() must follow (mm/hugetlb.c:
 * region_chg()).
 */
export function region_chg(resv: resv_map, f: number, t: number): number {
  resv.adds_in_progress++;
  return missing(resv, f, t);
}

/** Adds [f, t) to the map; answers how many pages are new (mm/hugetlb.c: region_add()). */
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

/** Ends what region_chg() began without adding (mm/hugetlb.c: region_abort()). */
export function region_abort(resv: resv_map, _f: number, _t: number): void {
  resv.adds_in_progress--;
}

/** Takes [f, t) out of the map, t may be Infinity; answers how many pages were in it (mm/hugetlb.c: region_del()). */
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

/** How many pages of [f, t) are in the map (mm/hugetlb.c: region_count()). */
export function region_count(resv: resv_map, f: number, t: number): number {
  let n = 0;
  for (const rg of resv.regions) n += Math.max(0, Math.min(rg.to, t) - Math.max(rg.from, f));
  return n;
}

/** Drops a reference on a map (mm/hugetlb.c: resv_map_release()). */
export function resv_map_put(resv: resv_map): void {
  resv.refs--;
  if (resv.refs === 0) BUG_ON(resv.adds_in_progress !== 0, 'mm/hugetlb.c: resv_map_release() with adds in progress');
}

function private_data(vma: vm_area_struct): vma_resv | null {
  return vma.vm_private_data instanceof vma_resv ? vma.vm_private_data : null;
}

/** The map of the mapping's file or of the private mapping itself, or null (mm/hugetlb.c: vma_resv_map()). */
export function vma_resv_map(vma: vm_area_struct): resv_map | null {
  BUG_ON(!is_vm_hugetlb_page(vma), 'mm/hugetlb.c: vma_resv_map() of a vma that is not hugetlb');
  if (vma.vm_flags & VM_MAYSHARE) return vma.vm_file === null ? null : HUGETLBFS_I(vma.vm_file.f_inode).resv_map;
  return private_data(vma)?.map ?? null;
}

/** Gives a private mapping its map, without flags (mm/hugetlb.c: set_vma_resv_map()). */
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

/** True if a HPAGE_RESV_* flag of the mapping is set (mm/hugetlb.c: is_vma_resv_set()). */
export function is_vma_resv_set(vma: vm_area_struct, flag: number): boolean {
  return ((private_data(vma)?.flags ?? 0) & flag) !== 0;
}

/** The index of an address within the mapping's file, in huge pages (mm/hugetlb.c: vma_hugecache_offset()). */
export function vma_hugecache_offset(h: hstate, vma: vm_area_struct, address: number): number {
  return Math.floor(linear_page_index(vma, address) / 2 ** h.order);
}

function __vma_shareable_lock(vma: vm_area_struct): hugetlb_vma_lock | null {
  return vma.vm_flags & VM_MAYSHARE && vma.vm_private_data instanceof hugetlb_vma_lock ? vma.vm_private_data : null;
}

/** True for a private mapping that has reservations of its own (mm/hugetlb.c: __vma_private_lock()). */
export function __vma_private_lock(vma: vm_area_struct): boolean {
  return (
    !(vma.vm_flags & VM_MAYSHARE) && (private_data(vma)?.map ?? null) !== null && is_vma_resv_set(vma, HPAGE_RESV_OWNER)
  );
}

function vma_sema(vma: vm_area_struct): rw_semaphore | null {
  const lock = __vma_shareable_lock(vma);
  if (lock !== null) return lock.rw_sema;
  return __vma_private_lock(vma) ? (vma_resv_map(vma) as resv_map).rw_sema : null;
}

/** Keeps the vma's pages from being truncated (mm/hugetlb.c: hugetlb_vma_lock_read()). */
export function* hugetlb_vma_lock_read(m: Machine, vma: vm_area_struct): Gen<void> {
  const sema = vma_sema(vma);
  if (sema !== null) yield* down_read(m, sema);
}

/** mm/hugetlb.c: hugetlb_vma_unlock_read() */
export function hugetlb_vma_unlock_read(m: Machine, vma: vm_area_struct): void {
  const sema = vma_sema(vma);
  if (sema !== null) up_read(m, sema);
}

/** Keeps faults and walks out of the vma (mm/hugetlb.c: hugetlb_vma_lock_write()). */
export function* hugetlb_vma_lock_write(m: Machine, vma: vm_area_struct): Gen<void> {
  const sema = vma_sema(vma);
  if (sema !== null) yield* down_write(m, sema);
}

/** mm/hugetlb.c: hugetlb_vma_unlock_write() */
export function hugetlb_vma_unlock_write(m: Machine, vma: vm_area_struct): void {
  const sema = vma_sema(vma);
  if (sema !== null) up_write(m, sema);
}

/** As hugetlb_vma_lock_write() if that needs no wait (mm/hugetlb.c: hugetlb_vma_trylock_write()). */
export function hugetlb_vma_trylock_write(m: Machine, vma: vm_area_struct): boolean {
  const sema = vma_sema(vma);
  return sema === null || down_write_trylock(m, sema);
}

function unlock_write_put(m: Machine, lock: hugetlb_vma_lock): void {
  const vma = lock.vma;
  lock.vma = null;
  if (vma !== null) vma.vm_private_data = null;
  up_write(m, lock.rw_sema);
  lock.refs--;
}

/**
 * Unlocks at the last unmapping and takes the lock off a shared mapping (mm/hugetlb.c:
 * __hugetlb_vma_unlock_write_free()).
 */
export function __hugetlb_vma_unlock_write_free(m: Machine, vma: vm_area_struct): void {
  const lock = __vma_shareable_lock(vma);
  if (lock !== null) unlock_write_put(m, lock);
  else if (__vma_private_lock(vma)) up_write(m, (vma_resv_map(vma) as resv_map).rw_sema);
}

/** Takes the lock off a shared mapping (mm/hugetlb.c: hugetlb_vma_lock_free()). */
export function* hugetlb_vma_lock_free(m: Machine, vma: vm_area_struct | null): Gen<void> {
  if (vma === null) return;
  const lock = __vma_shareable_lock(vma);
  if (lock === null) return;
  yield* down_write(m, lock.rw_sema);
  unlock_write_put(m, lock);
}

/** Gives a shared mapping its lock (mm/hugetlb.c: hugetlb_vma_lock_alloc()). */
export function hugetlb_vma_lock_alloc(vma: vm_area_struct | null): void {
  if (vma === null || !(vma.vm_flags & VM_MAYSHARE) || vma.vm_private_data !== null) return;
  vma.vm_private_data = new hugetlb_vma_lock(vma);
}

/** What fork leaves a child's copy of a mapping: no reservations (mm/hugetlb.c: hugetlb_dup_vma_private()). */
export function hugetlb_dup_vma_private(_m: Machine, vma: vm_area_struct): void {
  if (vma.vm_flags & VM_MAYSHARE) {
    const lock = __vma_shareable_lock(vma);
    if (lock !== null && lock.vma !== vma) vma.vm_private_data = null;
  } else vma.vm_private_data = null;
}

/**
 * Takes the reservations from a mapping that mremap() moved, since they live on in the new one (mm/hugetlb.c:
 * clear_vma_resv_huge_pages()).
 */
function clear_vma_resv_huge_pages(m: Machine, vma: vm_area_struct): void {
  const reservations = vma_resv_map(vma);
  if (reservations !== null && is_vma_resv_set(vma, HPAGE_RESV_OWNER)) resv_map_put(reservations);
  hugetlb_dup_vma_private(m, vma);
}

/**
 * As clear_vma_resv_huge_pages(), under the file's rmap lock, for any vma (mm/hugetlb.c: fixup_hugetlb_reservations()).
 */
export function* fixup_hugetlb_reservations(m: Machine, vma: vm_area_struct): Gen<void> {
  if (!is_vm_hugetlb_page(vma)) return;
  const sem = vma.vm_file?.f_mapping?.i_mmap_rwsem ?? null;
  if (sem !== null) yield* down_write(m, sem);
  clear_vma_resv_huge_pages(m, vma);
  if (sem !== null) up_write(m, sem);
}

// What a fault asks of the reservations of one huge page.
const VMA_NEEDS_RESV = 0;
const VMA_COMMIT_RESV = 1;
const VMA_END_RESV = 2;
const VMA_ADD_RESV = 3;
const VMA_DEL_RESV = 4;

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
 * 0 if a reservation is there for the huge page at addr, else 1; commit or end must follow (mm/hugetlb.c:
 * vma_needs_reservation()).
 */
export function vma_needs_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_NEEDS_RESV);
}

/**
 * Notes that the page was allocated; answers as vma_needs_reservation() did (mm/hugetlb.c: vma_commit_reservation()).
 */
export function vma_commit_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_COMMIT_RESV);
}

/** mm/hugetlb.c: vma_end_reservation() */
export function vma_end_reservation(h: hstate, vma: vm_area_struct, addr: number): void {
  __vma_reservation_common(h, vma, addr, VMA_END_RESV);
}

/** Puts a reservation back (mm/hugetlb.c: vma_add_reservation()). */
export function vma_add_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_ADD_RESV);
}

/** Undoes what an allocation without reservation noted in the map (mm/hugetlb.c: vma_del_reservation()). */
export function vma_del_reservation(h: hstate, vma: vm_area_struct, addr: number): number {
  return __vma_reservation_common(h, vma, addr, VMA_DEL_RESV);
}
