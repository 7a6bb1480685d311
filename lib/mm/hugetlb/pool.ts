// SPDX-License-Identifier: GPL-2.0-only

import { HPAGE_PMD_ORDER } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EINVAL, ENOMEM, ENOSPC } from '../../errno.ts';
import type { address_space, file, inode } from '../../fs/fs.ts';
import { hugetlbfs_file_operations } from '../../fs/hugetlbfs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../kernel/locking/mutex.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { signal_pending } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { __filemap_add_folio } from '../filemap/filemap.ts';
import { __folio_clear_locked, __folio_set_locked } from '../filemap/folio_lock.ts';
import {
  type mm_struct,
  type vm_area_struct,
  VM_MAYSHARE,
  VM_NORESERVE,
  type vm_operations_struct,
} from '../mm_types.ts';
import { ClearPageAnonExclusive } from '../page-flags.ts';
import { folio_mark_dirty } from '../page-writeback.ts';
import {
  folio_order,
  folio_ref_count,
  folio_size,
  folio_test_anon,
  folio_test_hugetlb,
  large,
  list_add,
  list_del,
  PageList,
  PGTY_hugetlb,
} from '../page.ts';
import { __GFP_COMP, alloc_pages, free_frozen_pages, GFP_HIGHUSER_MOVABLE, MAX_PAGE_ORDER } from '../page_alloc.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import {
  HPAGE_RESV_OWNER,
  hugetlb_vma_lock,
  hugetlb_vma_lock_alloc,
  hugetlb_vma_lock_free,
  HUGETLBFS_I,
  is_vma_resv_set,
  region_abort,
  region_add,
  region_chg,
  region_count,
  region_del,
  resv_map,
  resv_map_put,
  set_vma_resv_flags,
  set_vma_resv_map,
  vma_add_reservation,
  vma_commit_reservation,
  vma_del_reservation,
  vma_end_reservation,
  vma_hugecache_offset,
  vma_needs_reservation,
  vma_resv_map,
} from './resv.ts';

// State of a hugetlb folio (include/linux/hugetlb.h: enum hugetlb_page_flags). The last two tell which list it is on.
export const HPG_restore_reserve = 1 << 0;
export const HPG_migratable = 1 << 1;
const HPG_temporary = 1 << 2;
const HPG_freed = 1 << 3;
const HPG_active = 1 << 8;

const PUD_ORDER = 18;
/** Mutexes per CPU; the total is rounded up to a power of two. */
const FAULT_MUTEXES_PER_CPU = 8;

/** The pool of one huge page size (include/linux/hugetlb.h: struct hstate). Counters are in huge pages. */
export class hstate {
  readonly order: number;
  readonly resize_lock = new mutex('resize_lock');
  nr_huge_pages = 0;
  free_huge_pages = 0;
  resv_huge_pages = 0;
  surplus_huge_pages = 0;
  max_huge_pages = 0;
  nr_overcommit_huge_pages = 0;
  readonly hugepage_activelist = new PageList();
  readonly hugepage_freelists = new PageList();
  constructor(order: number) {
    this.order = order;
  }
}

/** The pools and the fault mutexes. NON-KERNEL: the global variables of mm/hugetlb.c. */
export class hugetlb_state {
  readonly default_hstate = new hstate(HPAGE_PMD_ORDER);
  readonly hstates: readonly hstate[] = [this.default_hstate, new hstate(PUD_ORDER)];
  readonly hugetlb_fault_mutex_table: mutex[] = [];
  constructor(m: Machine) {
    let n = 1;
    while (n < FAULT_MUTEXES_PER_CPU * m.config.cpus) n *= 2;
    for (let i = 0; i < n; i++) this.hugetlb_fault_mutex_table.push(new mutex('hugetlb_fault_mutex'));
  }
}

/** Returns the size of a huge page in bytes (include/linux/hugetlb.h: huge_page_size()). */
export function huge_page_size(h: hstate): number {
  return PAGE_SIZE * 2 ** h.order;
}

/** Returns the order of a huge page (include/linux/hugetlb.h: huge_page_order()). */
export function huge_page_order(h: hstate): number {
  return h.order;
}

/** Returns the number of base pages in a huge page (include/linux/hugetlb.h: pages_per_huge_page()). */
export function pages_per_huge_page(h: hstate): number {
  return 2 ** h.order;
}

/** Returns the pool of huge pages of `size` bytes, or null (mm/hugetlb.c: size_to_hstate()). */
function size_to_hstate(m: Machine, size: number): hstate | null {
  return m.hugetlb.hstates.find((h) => huge_page_size(h) === size) ?? null;
}

/**
 * Returns the pool for log2 of a size as passed to mmap(), the default pool for 0, or null (include/linux/hugetlb.h:
 * hstate_sizelog()).
 */
export function hstate_sizelog(m: Machine, page_size_log: number): hstate | null {
  if (page_size_log === 0) return m.hugetlb.default_hstate;
  return size_to_hstate(m, 2 ** page_size_log);
}

/** Returns the pool of a hugetlbfs inode (include/linux/hugetlb.h: hstate_inode()). */
export function hstate_inode(_m: Machine, i: inode): hstate {
  return HUGETLBFS_I(i).hstate;
}

/** Returns the pool of a hugetlbfs file (include/linux/hugetlb.h: hstate_file()). */
export function hstate_file(m: Machine, f: file): hstate {
  return hstate_inode(m, f.f_inode);
}

/** Returns the pool of a hugetlb vma (include/linux/hugetlb.h: hstate_vma()). */
export function hstate_vma(m: Machine, vma: vm_area_struct): hstate {
  return hstate_file(m, vma.vm_file as file);
}

/** Returns the pool of a hugetlb folio (include/linux/hugetlb.h: folio_hstate()). */
function folio_hstate(m: Machine, folio: number): hstate {
  BUG_ON(!folio_test_hugetlb(m, folio), 'include/linux/hugetlb.h: folio_hstate() of a folio that is not hugetlb');
  return size_to_hstate(m, folio_size(m, folio)) as hstate;
}

/** Returns the page size in bytes that the kernel uses for the vma (include/linux/mm.h: vma_kernel_pagesize()). */
export function vma_kernel_pagesize(_m: Machine, vma: vm_area_struct): number {
  return vma.vm_ops?.pagesize?.(vma) ?? PAGE_SIZE;
}

/** Returns true for a file of hugetlbfs (include/linux/hugetlb.h: is_file_hugepages()). */
export function is_file_hugepages(f: file): boolean {
  return f.f_op === hugetlbfs_file_operations;
}

/** Returns true if a HPG_* flag of the folio is set (include/linux/hugetlb.h: HPAGEFLAG). */
function folio_test_hpg(m: Machine, folio: number, flag: number): boolean {
  return (large(m, folio).hugetlb_flags & flag) !== 0;
}

/** Sets a HPG_* flag of the folio (include/linux/hugetlb.h: HPAGEFLAG). */
export function folio_set_hpg(m: Machine, folio: number, flag: number): void {
  large(m, folio).hugetlb_flags |= flag;
}

/** Clears a HPG_* flag of the folio (include/linux/hugetlb.h: HPAGEFLAG). */
export function folio_clear_hpg(m: Machine, folio: number, flag: number): void {
  large(m, folio).hugetlb_flags &= ~flag;
}

/** Returns the number of huge pages that are not surplus (mm/hugetlb.c: persistent_huge_pages()). */
function persistent_huge_pages(h: hstate): number {
  return h.nr_huge_pages - h.surplus_huge_pages;
}

/** Returns the number of free huge pages that are not reserved (mm/hugetlb.c: available_huge_pages()). */
function available_huge_pages(h: hstate): number {
  return h.free_huge_pages - h.resv_huge_pages;
}

/** Removes the folio from the list that it is on. NON-KERNEL: upstream's list_del() needs no list head. */
function take_off_list(m: Machine, h: hstate, folio: number): void {
  if (folio_test_hpg(m, folio, HPG_freed)) list_del(m, folio, h.hugepage_freelists);
  else if (folio_test_hpg(m, folio, HPG_active)) list_del(m, folio, h.hugepage_activelist);
  folio_clear_hpg(m, folio, HPG_active);
}

/** Moves the folio to the active list. NON-KERNEL: upstream's list_move() to hugepage_activelist. */
function put_on_active(m: Machine, h: hstate, folio: number): void {
  take_off_list(m, h, folio);
  list_add(m, folio, h.hugepage_activelist);
  folio_set_hpg(m, folio, HPG_active);
}

/** Adds a free folio to the pool (mm/hugetlb.c: enqueue_hugetlb_folio()). */
function enqueue_hugetlb_folio(m: Machine, h: hstate, folio: number): void {
  BUG_ON(folio_ref_count(m, folio) !== 0, 'mm/hugetlb.c: enqueue_hugetlb_folio() of a folio in use');
  take_off_list(m, h, folio);
  list_add(m, folio, h.hugepage_freelists);
  h.free_huge_pages++;
  folio_set_hpg(m, folio, HPG_freed);
}

/**
 * Takes a free folio from the pool, with one reference; 0 if there is none (mm/hugetlb.c:
 * dequeue_hugetlb_folio_node_exact()). Leaves out NUMA nodes and hwpoison.
 */
function dequeue_hugetlb_folio(m: Machine, h: hstate): number {
  const folio = h.hugepage_freelists.first;
  if (folio === 0) return 0;
  put_on_active(m, h, folio);
  m.page._refcount[folio] = 1;
  folio_clear_hpg(m, folio, HPG_freed);
  h.free_huge_pages--;
  return folio;
}

/**
 * Allocates a hugetlb folio from the buddy allocator, with refcount 0. Returns 0 without memory (mm/hugetlb.c:
 * alloc_fresh_hugetlb_folio()). Gigantic folios are Unmodelled.
 */
function alloc_fresh_hugetlb_folio(m: Machine, h: hstate): number {
  if (h.order > MAX_PAGE_ORDER) throw new Unmodelled('mm/hugetlb.c: alloc_gigantic_frozen_folio()');
  const folio = alloc_pages(m, GFP_HIGHUSER_MOVABLE | __GFP_COMP, h.order);
  if (folio === 0) return 0;
  m.page._refcount[folio] = 0;
  m.page.page_type[folio] = PGTY_hugetlb;
  return folio;
}

/** Removes a folio from the pool and its counters (mm/hugetlb.c: remove_hugetlb_folio()). */
function remove_hugetlb_folio(m: Machine, h: hstate, folio: number, adjust_surplus: boolean): void {
  take_off_list(m, h, folio);
  if (folio_test_hpg(m, folio, HPG_freed)) {
    folio_clear_hpg(m, folio, HPG_freed);
    h.free_huge_pages--;
  }
  if (adjust_surplus) h.surplus_huge_pages--;
  m.page.page_type[folio] = 0;
  h.nr_huge_pages--;
}

/**
 * Frees a folio that was removed from the pool (mm/hugetlb.c: update_and_free_hugetlb_folio()). Leaves out the vmemmap
 * optimization: not configured.
 */
function update_and_free_hugetlb_folio(m: Machine, folio: number): void {
  free_frozen_pages(m, folio, folio_order(m, folio));
}

/**
 * Handles the last reference: returns the folio to the pool, or frees it if it is surplus or temporary (mm/hugetlb.c:
 * free_huge_folio()).
 */
export function free_huge_folio(m: Machine, folio: number): void {
  const h = folio_hstate(m, folio);
  BUG_ON(folio_ref_count(m, folio) !== 0, 'mm/hugetlb.c: free_huge_folio() of a folio in use');
  BUG_ON(folio_mapcount(m, folio) !== 0, 'mm/hugetlb.c: free_huge_folio() of a mapped folio');
  if (folio_test_anon(m, folio)) ClearPageAnonExclusive(m, folio);
  m.page.mapping[folio] = 0;
  if (folio_test_hpg(m, folio, HPG_restore_reserve)) h.resv_huge_pages++;
  folio_clear_hpg(m, folio, HPG_restore_reserve | HPG_migratable);
  if (folio_test_hpg(m, folio, HPG_temporary)) {
    remove_hugetlb_folio(m, h, folio, false);
    update_and_free_hugetlb_folio(m, folio);
  } else if (h.surplus_huge_pages > 0) {
    remove_hugetlb_folio(m, h, folio, true);
    update_and_free_hugetlb_folio(m, folio);
  } else enqueue_hugetlb_folio(m, h, folio);
}

/**
 * Allocates a surplus huge page within nr_overcommit_hugepages. Returns 0 without one (mm/hugetlb.c:
 * alloc_surplus_hugetlb_folio()).
 */
function alloc_surplus_hugetlb_folio(m: Machine, h: hstate): number {
  if (h.surplus_huge_pages >= h.nr_overcommit_huge_pages) return 0;
  const folio = alloc_fresh_hugetlb_folio(m, h);
  if (folio === 0) return 0;
  h.nr_huge_pages++;
  h.surplus_huge_pages++;
  return folio;
}

/**
 * Allocates surplus huge pages for `delta` more reservations. Returns 0 or -ENOMEM (mm/hugetlb.c:
 * gather_surplus_pages()).
 */
function gather_surplus_pages(m: Machine, h: hstate, delta: number): number {
  const needed = h.resv_huge_pages + delta - h.free_huge_pages;
  if (needed <= 0) {
    h.resv_huge_pages += delta;
    return 0;
  }
  const surplus_list: number[] = [];
  while (surplus_list.length < needed) {
    const folio = alloc_surplus_hugetlb_folio(m, h);
    if (folio === 0) break;
    surplus_list.push(folio);
  }
  if (surplus_list.length < needed) {
    for (const folio of surplus_list) free_huge_folio(m, folio);
    return -ENOMEM;
  }
  h.resv_huge_pages += delta;
  for (const folio of surplus_list) enqueue_hugetlb_folio(m, h, folio);
  return 0;
}

/**
 * Removes a free huge page from the pool, only a surplus one if acct_surplus. Returns the folio or 0 (mm/hugetlb.c:
 * remove_pool_hugetlb_folio()).
 */
function remove_pool_hugetlb_folio(m: Machine, h: hstate, acct_surplus: boolean): number {
  const folio = h.hugepage_freelists.first;
  if (folio === 0 || (acct_surplus && h.surplus_huge_pages === 0)) return 0;
  remove_hugetlb_folio(m, h, folio, acct_surplus);
  return folio;
}

/**
 * Returns unused reservations and frees the surplus pages that served them (mm/hugetlb.c:
 * return_unused_surplus_pages()).
 */
function return_unused_surplus_pages(m: Machine, h: hstate, unused_resv_pages: number): void {
  h.resv_huge_pages -= unused_resv_pages;
  for (let nr = Math.min(unused_resv_pages, h.surplus_huge_pages); nr > 0; nr--) {
    const folio = remove_pool_hugetlb_folio(m, h, true);
    if (folio === 0) break;
    update_and_free_hugetlb_folio(m, folio);
  }
}

/**
 * Reserves `delta` huge pages, or returns -delta of them. Returns 0 or -ENOMEM (mm/hugetlb.c: hugetlb_acct_memory()).
 */
function hugetlb_acct_memory(m: Machine, h: hstate, delta: number): number {
  if (delta > 0) {
    if (gather_surplus_pages(m, h, delta) < 0) return -ENOMEM;
    if (delta > h.free_huge_pages) {
      return_unused_surplus_pages(m, h, delta);
      return -ENOMEM;
    }
  } else if (delta < 0) return_unused_surplus_pages(m, h, -delta);
  return 0;
}

/**
 * Returns a huge page for the vma with one reference and its reservation consumed, or -ENOSPC. With cow_from_owner the
 * reservation was already consumed by the page that is copied (mm/hugetlb.c: alloc_hugetlb_folio()).
 */
export function alloc_hugetlb_folio(m: Machine, vma: vm_area_struct, addr: number, cow_from_owner: boolean): number {
  const h = hstate_vma(m, vma);
  const map_chg = cow_from_owner || vma_needs_reservation(h, vma, addr) !== 0;
  let folio = !map_chg || available_huge_pages(h) > 0 ? dequeue_hugetlb_folio(m, h) : 0;
  if (folio === 0) {
    folio = alloc_surplus_hugetlb_folio(m, h);
    if (folio === 0) {
      if (!cow_from_owner) vma_end_reservation(h, vma, addr);
      return -ENOSPC;
    }
    put_on_active(m, h, folio);
    m.page._refcount[folio] = 1;
  }
  if (!map_chg) {
    folio_set_hpg(m, folio, HPG_restore_reserve);
    h.resv_huge_pages--;
  }
  if (!cow_from_owner) {
    const retval = vma_commit_reservation(h, vma, addr);
    if (map_chg && retval === 0) hugetlb_acct_memory(m, h, -1);
  }
  return folio;
}

/**
 * Restores the reservation after an allocation whose page will be freed unused (mm/hugetlb.c:
 * restore_reserve_on_error()).
 */
export function restore_reserve_on_error(
  m: Machine,
  h: hstate,
  vma: vm_area_struct,
  address: number,
  folio: number,
): void {
  const rc = vma_needs_reservation(h, vma, address);
  if (folio_test_hpg(m, folio, HPG_restore_reserve)) {
    if (rc !== 0) vma_add_reservation(h, vma, address);
    else vma_end_reservation(h, vma, address);
  } else if (rc === 0) vma_del_reservation(h, vma, address);
  else vma_end_reservation(h, vma, address);
}

/**
 * Returns a temporary huge page with one reference and without a reservation, or 0 (mm/hugetlb.c:
 * alloc_hugetlb_folio_nodemask()).
 */
export function alloc_hugetlb_folio_nodemask(m: Machine, h: hstate): number {
  let folio = available_huge_pages(h) > 0 ? dequeue_hugetlb_folio(m, h) : 0;
  if (folio !== 0) return folio;
  if (h.order > MAX_PAGE_ORDER) return 0;
  folio = alloc_fresh_hugetlb_folio(m, h);
  if (folio === 0) return 0;
  h.nr_huge_pages++;
  m.page._refcount[folio] = 1;
  folio_set_hpg(m, folio, HPG_temporary);
  return folio;
}

/**
 * Adds a new folio, locked, to the page cache. Returns 0 or -EEXIST; `idx` is in huge pages (mm/hugetlb.c:
 * hugetlb_add_to_page_cache()).
 */
export function hugetlb_add_to_page_cache(m: Machine, folio: number, mapping: address_space, idx: number): number {
  const h = hstate_inode(m, mapping.host);
  __folio_set_locked(m, folio);
  const err = __filemap_add_folio(m, mapping, folio, idx * 2 ** h.order);
  if (err !== 0) {
    __folio_clear_locked(m, folio);
    return err;
  }
  folio_clear_hpg(m, folio, HPG_restore_reserve);
  folio_mark_dirty(m, folio);
  return 0;
}

/**
 * Takes a reference to the reservation map or allocates the vma lock for a copied vma (mm/hugetlb.c:
 * hugetlb_vm_op_open()).
 */
function hugetlb_vm_op_open(_m: Machine, vma: vm_area_struct): void {
  const resv = vma_resv_map(vma);
  if (resv !== null && is_vma_resv_set(vma, HPAGE_RESV_OWNER)) resv.refs++;
  if (vma.vm_flags & VM_MAYSHARE) {
    const lock = vma.vm_private_data;
    if (lock instanceof hugetlb_vma_lock && lock.vma !== vma) vma.vm_private_data = null;
    hugetlb_vma_lock_alloc(vma);
  }
}

/**
 * Frees the vma lock and returns the unused reservations of a private mapping (mm/hugetlb.c: hugetlb_vm_op_close()).
 */
function* hugetlb_vm_op_close(m: Machine, vma: vm_area_struct): Gen<void> {
  const h = hstate_vma(m, vma);
  yield* hugetlb_vma_lock_free(m, vma);
  const resv = vma_resv_map(vma);
  if (resv === null || !is_vma_resv_set(vma, HPAGE_RESV_OWNER)) return;
  const start = vma_hugecache_offset(h, vma, vma.vm_start);
  const end = start + (vma.vm_end - vma.vm_start) / huge_page_size(h);
  const reserve = end - start - region_count(resv, start, end);
  if (reserve !== 0) hugetlb_acct_memory(m, h, -reserve);
  resv_map_put(resv);
}

/** Never called: hugetlb faults do not go through ->fault() (mm/hugetlb.c: hugetlb_vm_op_fault()). */
function* hugetlb_vm_op_fault(): Gen<number> {
  BUG_ON(true, 'mm/hugetlb.c: hugetlb_vm_op_fault()');
  return 0;
}

/** Operations of a hugetlb vma (mm/hugetlb.c: hugetlb_vm_ops). */
export const hugetlb_vm_ops: vm_operations_struct = {
  fault: hugetlb_vm_op_fault,
  open: hugetlb_vm_op_open,
  close: hugetlb_vm_op_close,
  may_split: (m, vma, addr) => (addr % huge_page_size(hstate_vma(m, vma)) !== 0 ? -EINVAL : 0),
  pagesize: (vma) => huge_page_size(hstate_vma(vma.vm_mm.m, vma)),
};

/**
 * Reserves the huge pages [from, to) of a file for a mapping, or for the file itself if vma is null. Returns 0 or more,
 * or a negative errno. Reserves nothing with VM_NORESERVE (mm/hugetlb.c: hugetlb_reserve_pages()).
 */
export function* hugetlb_reserve_pages(
  m: Machine,
  node: inode,
  from: number,
  to: number,
  vma: vm_area_struct | null,
  vm_flags: number,
): Gen<number> {
  const h = hstate_inode(m, node);
  if (from > to) return -EINVAL;
  hugetlb_vma_lock_alloc(vma);
  if (vm_flags & VM_NORESERVE) return 0;
  const shared = vma === null || (vma.vm_flags & VM_MAYSHARE) !== 0;
  let map: resv_map;
  let chg: number;
  if (shared) {
    map = HUGETLBFS_I(node).resv_map;
    chg = region_chg(map, from, to);
  } else {
    map = new resv_map();
    chg = to - from;
    set_vma_resv_map(m, vma, map);
    set_vma_resv_flags(m, vma, HPAGE_RESV_OWNER);
  }
  const err = hugetlb_acct_memory(m, h, chg);
  if (err < 0) {
    yield* hugetlb_vma_lock_free(m, vma);
    if (shared) region_abort(map, from, to);
    else if (vma !== null) {
      resv_map_put(map);
      set_vma_resv_map(m, vma, null);
    }
    return err;
  }
  if (shared) {
    const add = region_add(map, from, to);
    if (chg > add) hugetlb_acct_memory(m, h, -(chg - add));
  }
  return chg;
}

/**
 * Returns the reservations of [start, end) of a file, of which `freed` pages were allocated; end may be Infinity
 * (mm/hugetlb.c: hugetlb_unreserve_pages()).
 */
export function hugetlb_unreserve_pages(m: Machine, node: inode, start: number, end: number, freed: number): number {
  const chg = region_del(HUGETLBFS_I(node).resv_map, start, end);
  hugetlb_acct_memory(m, hstate_inode(m, node), -(chg - freed));
  return 0;
}

/**
 * Grows or shrinks the pool to `count` huge pages. NON-KERNEL: the body of upstream's set_max_huge_pages() under
 * hstate's resize_lock.
 */
function resize_pool(m: Machine, h: hstate, count: number): void {
  while (h.surplus_huge_pages > 0 && count > persistent_huge_pages(h)) h.surplus_huge_pages--;
  while (count > persistent_huge_pages(h)) {
    const folio = alloc_fresh_hugetlb_folio(m, h);
    if (folio === 0) break;
    h.nr_huge_pages++;
    enqueue_hugetlb_folio(m, h, folio);
    if (signal_pending(m.current)) break;
  }
  let persistent_free = h.free_huge_pages;
  if (h.free_huge_pages > persistent_huge_pages(h))
    persistent_free = Math.max(0, persistent_free - h.surplus_huge_pages);
  const min_count = Math.max(count, h.resv_huge_pages + persistent_huge_pages(h) - persistent_free);
  while (min_count < persistent_huge_pages(h)) {
    const folio = remove_pool_hugetlb_folio(m, h, false);
    if (folio === 0) break;
    update_and_free_hugetlb_folio(m, folio);
  }
  // Pages in use become surplus and are freed with their last reference.
  while (count < persistent_huge_pages(h) && h.surplus_huge_pages < h.nr_huge_pages) h.surplus_huge_pages++;
  h.max_huge_pages = persistent_huge_pages(h);
}

/** Sets the size of the pool as far as memory allows. Returns 0 (mm/hugetlb.c: set_max_huge_pages()). */
function* set_max_huge_pages(m: Machine, h: hstate, count: number): Gen<number> {
  yield* mutex_lock(m, h.resize_lock);
  resize_pool(m, h, count);
  mutex_unlock(m, h.resize_lock);
  return 0;
}

/** Allocates the default pool for the command line's hugepages= (mm/hugetlb.c: hugetlb_init()). */
export function hugetlb_init(m: Machine): void {
  resize_pool(m, m.hugetlb.default_hstate, m.config.nr_hugepages);
}

/** Returns the hugetlb lines of /proc/meminfo (mm/hugetlb.c: hugetlb_report_meminfo()). */
export function hugetlb_report_meminfo(m: Machine): string {
  const h = m.hugetlb.default_hstate;
  const total = m.hugetlb.hstates.reduce((sum, x) => sum + huge_page_size(x) * x.nr_huge_pages, 0);
  const n = (x: number): string => String(x).padStart(5);
  return (
    `HugePages_Total:   ${n(h.nr_huge_pages)}\nHugePages_Free:    ${n(h.free_huge_pages)}\nHugePages_Rsvd:    ${n(h.resv_huge_pages)}\n` +
    `HugePages_Surp:    ${n(h.surplus_huge_pages)}\nHugepagesize:   ${String(huge_page_size(h) / 1024).padStart(8)} kB\n` +
    `Hugetlb:        ${String(total / 1024).padStart(8)} kB\n`
  );
}

/** Returns the hugetlb line of /proc/PID/status (mm/hugetlb.c: hugetlb_report_usage()). */
export function hugetlb_report_usage(mm: mm_struct): string {
  return `HugetlbPages:\t${String(mm.hugetlb_usage * 4).padStart(8)} kB\n`;
}

/**
 * Resizes a pool for a write to nr_hugepages. Returns 0 or a negative errno (mm/hugetlb.c:
 * __nr_hugepages_store_common()).
 */
export function nr_hugepages_store_common(m: Machine, h: hstate, count: number): Gen<number> {
  return set_max_huge_pages(m, h, count);
}
