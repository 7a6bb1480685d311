// SPDX-License-Identifier: GPL-2.0-only

import { pte_pfn, pte_present } from '../arch/x86/mm/pgtable/pgtable.ts';
import { clear_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { mutex_lock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { down_write, up_write } from '../kernel/locking/rwsem.ts';
import {
  alloc_address_space,
  filemap_get_entry,
  filemap_lock_folio,
  filemap_remove_folio,
  mapping_indices,
} from '../mm/filemap/filemap.ts';
import { folio_lock, folio_unlock } from '../mm/filemap/folio_lock.ts';
import { folio_put } from '../mm/folio.ts';
import { hugetlb_fault_mutex_hash } from '../mm/hugetlb/fault.ts';
import {
  type hstate,
  hstate_file,
  hstate_inode,
  hstate_sizelog,
  huge_page_size,
  hugetlb_reserve_pages,
  hugetlb_unreserve_pages,
  hugetlb_vm_ops,
} from '../mm/hugetlb/pool.ts';
import { hugetlb_vma_trylock_write, hugetlb_vma_unlock_write, hugetlbfs_inode_info } from '../mm/hugetlb/resv.ts';
import { huge_pte_index, huge_pte_offset, huge_ptep_get, unmap_hugepage_range } from '../mm/hugetlb/vma.ts';
import { ZAP_FLAG_DROP_MARKER } from '../mm/memory/zap.ts';
import { type vm_area_struct, VM_DONTEXPAND, VM_HUGETLB, VM_WRITE } from '../mm/mm_types.ts';
import { mm_get_unmapped_area_vmaflags } from '../mm/mmap/unmapped_area.ts';
import { clear_flags, PG_dirty, PG_uptodate } from '../mm/page-flags.ts';
import { folio_pfn } from '../mm/page.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { folio_mapped } from '../mm/rmap/rmap.ts';
import { folio_zero_range } from '../mm/truncate.ts';
import { mapping_rmap_tree_foreach } from '../mm/vma/vma.ts';
import { Unmodelled } from '../unmodelled.ts';
import { alloc_file } from './file_table.ts';
import { type address_space, type file, type file_operations, type inode, O_RDWR } from './fs.ts';
import { new_inode } from './inode.ts';

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const MAP_FIXED = 0x10;

/** Returns a new, unlinked file of huge pages of one size (fs/hugetlbfs/inode.c: hugetlbfs_get_inode()). */
function hugetlbfs_get_inode(m: Machine, h: hstate): inode {
  const node = new_inode(m);
  node.i_private = new hugetlbfs_inode_info(h);
  alloc_address_space(m, node, 'hugetlbfs');
  node.evict_inode = hugetlbfs_evict_inode;
  return node;
}

/** fs/hugetlbfs/inode.c: hugetlbfs_file_mmap() */
function* hugetlbfs_file_mmap(m: Machine, f: file, vma: vm_area_struct): Gen<number> {
  const node = f.f_inode;
  const h = hstate_file(m, f);
  vma.vm_flags |= VM_HUGETLB | VM_DONTEXPAND;
  vma.vm_ops = hugetlb_vm_ops;
  const pages = 2 ** h.order;
  if (vma.vm_pgoff % pages !== 0) return -EINVAL;
  const len = vma.vm_end - vma.vm_start + vma.vm_pgoff * PAGE_SIZE;
  if (len > Number.MAX_SAFE_INTEGER) return -EINVAL;
  yield* down_write(m, node.i_rwsem);
  let ret = -ENOMEM;
  if ((yield* hugetlb_reserve_pages(m, node, vma.vm_pgoff / pages, len / huge_page_size(h), vma, vma.vm_flags)) >= 0) {
    ret = 0;
    if (vma.vm_flags & VM_WRITE && node.i_size < len) node.i_size = len;
  }
  up_write(m, node.i_rwsem);
  return ret;
}

/**
 * Returns an address for a hugetlbfs mapping, a multiple of its page size, or -errno (fs/hugetlbfs/inode.c:
 * hugetlb_get_unmapped_area()).
 */
export function hugetlb_get_unmapped_area(
  m: Machine,
  f: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  const size = huge_page_size(hstate_file(m, f as file));
  if (len % size !== 0) return -EINVAL;
  if (flags & MAP_FIXED && addr % size !== 0) return -EINVAL;
  const addr0 = addr === 0 ? 0 : Math.ceil(addr / size) * size;
  return mm_get_unmapped_area_vmaflags(m, f, addr0, len, pgoff, flags, 0);
}

/** fs/hugetlbfs/inode.c: hugetlbfs_read_iter() */
function* hugetlbfs_read(m: Machine, f: file, buf: number, count: number, pos: number): Gen<number> {
  const node = f.f_inode;
  const mapping = node.i_mapping as address_space;
  const pages = 2 ** hstate_file(m, f).order;
  let done = 0;
  while (done < count && pos + done < node.i_size) {
    const at = pos + done;
    const nr = Math.min(count - done, node.i_size - at, PAGE_SIZE - (at % PAGE_SIZE));
    const index = Math.floor(at / PAGE_SIZE);
    const folio = yield* filemap_lock_folio(m, mapping, index - (index % pages));
    let left: number;
    if (folio === 0) left = yield* clear_user(m, buf + done, nr);
    else {
      folio_unlock(m, folio);
      left = yield* copy_to_user(
        m,
        buf + done,
        m.ram.bytes(folio_pfn(m, folio) + (index % pages)).subarray(at % PAGE_SIZE, (at % PAGE_SIZE) + nr),
        nr,
      );
      folio_put(m, folio);
    }
    done += nr - left;
    if (left > 0) return done > 0 ? done : -EFAULT;
  }
  return done;
}

/** fs/hugetlbfs/inode.c: vma_offset_start() */
function vma_offset_start(vma: vm_area_struct, start: number): number {
  return vma.vm_start + (vma.vm_pgoff < start ? (start - vma.vm_pgoff) * PAGE_SIZE : 0);
}

/** fs/hugetlbfs/inode.c: vma_offset_end() */
function vma_offset_end(vma: vm_area_struct, end: number): number {
  return end === Infinity ? vma.vm_end : Math.min(vma.vm_end, (end - vma.vm_pgoff) * PAGE_SIZE + vma.vm_start);
}

/** fs/hugetlbfs/inode.c: hugetlb_vma_maps_pfn() */
function hugetlb_vma_maps_pfn(m: Machine, h: hstate, vma: vm_area_struct, addr: number, pfn: number): boolean {
  const pt = huge_pte_offset(m, vma.vm_mm, addr, huge_page_size(h));
  if (pt === null) return false;
  const pte = huge_ptep_get(m, vma.vm_mm, addr, pt, huge_pte_index(h, addr));
  return pte_present(pte) && pte_pfn(pte) === pfn;
}

/**
 * Leaves out waiting for a contended vma lock, which throws Unmodelled (fs/hugetlbfs/inode.c:
 * hugetlb_unmap_file_folio()).
 */
function* hugetlb_unmap_file_folio(
  m: Machine,
  h: hstate,
  mapping: address_space,
  folio: number,
  index: number,
): Gen<void> {
  const start = index * 2 ** h.order;
  const end = start + 2 ** h.order;
  yield* down_write(m, mapping.i_mmap_rwsem);
  for (const vma of mapping_rmap_tree_foreach(mapping, start, end - 1)) {
    const v_start = vma_offset_start(vma, start);
    if (!hugetlb_vma_maps_pfn(m, h, vma, v_start, folio_pfn(m, folio))) continue;
    if (!hugetlb_vma_trylock_write(m, vma))
      throw new Unmodelled('fs/hugetlbfs/inode.c: hugetlb_unmap_file_folio() of a vma whose lock is taken');
    yield* unmap_hugepage_range(m, vma, v_start, vma_offset_end(vma, end), 0, ZAP_FLAG_DROP_MARKER);
    hugetlb_vma_unlock_write(m, vma);
  }
  up_write(m, mapping.i_mmap_rwsem);
}

/** fs/hugetlbfs/inode.c: hugetlb_vmdelete_list() */
function* hugetlb_vmdelete_list(
  m: Machine,
  mapping: address_space,
  start: number,
  end: number,
  zap_flags: number,
): Gen<void> {
  for (const vma of mapping_rmap_tree_foreach(mapping, start, end - 1)) {
    if (!hugetlb_vma_trylock_write(m, vma)) continue;
    yield* unmap_hugepage_range(m, vma, vma_offset_start(vma, start), vma_offset_end(vma, end), 0, zap_flags);
    hugetlb_vma_unlock_write(m, vma);
  }
}

/** fs/hugetlbfs/inode.c: remove_inode_hugepages(), fs/hugetlbfs/inode.c: remove_inode_single_folio() */
function* remove_inode_hugepages(m: Machine, node: inode, lstart: number, lend: number): Gen<void> {
  const h = hstate_inode(m, node);
  const mapping = node.i_mapping as address_space;
  const truncate_op = lend === Infinity;
  let freed = 0;
  for (const at of mapping_indices(mapping, lstart / PAGE_SIZE, lend / PAGE_SIZE - 1)) {
    const folio = filemap_get_entry(m, mapping, at);
    if (folio === 0) continue;
    const index = at / 2 ** h.order;
    const lock = hugetlb_fault_mutex_hash(m, mapping, index);
    yield* mutex_lock(m, lock);
    yield* folio_lock(m, folio);
    if (folio_mapped(m, folio)) yield* hugetlb_unmap_file_folio(m, h, mapping, folio, index);
    clear_flags(m, folio, PG_dirty | PG_uptodate);
    filemap_remove_folio(m, folio);
    if (!truncate_op) hugetlb_unreserve_pages(m, node, index, index + 1, 1);
    folio_unlock(m, folio);
    freed++;
    mutex_unlock(m, lock);
    folio_put(m, folio);
  }
  if (truncate_op) hugetlb_unreserve_pages(m, node, lstart / huge_page_size(h), Infinity, freed);
}

/** fs/hugetlbfs/inode.c: hugetlbfs_evict_inode() */
function* hugetlbfs_evict_inode(m: Machine, node: inode): Gen<void> {
  yield* remove_inode_hugepages(m, node, 0, Infinity);
  m.mappings.remove((node.i_mapping as address_space).id);
}

/** fs/hugetlbfs/inode.c: hugetlbfs_setattr(), fs/hugetlbfs/inode.c: hugetlb_vmtruncate() */
function* hugetlbfs_setattr_size(m: Machine, f: file, length: number): Gen<number> {
  const node = f.f_inode;
  const h = hstate_file(m, f);
  const mapping = node.i_mapping as address_space;
  if (length % huge_page_size(h) !== 0) return -EINVAL;
  node.i_size = length;
  yield* down_write(m, mapping.i_mmap_rwsem);
  yield* hugetlb_vmdelete_list(m, mapping, length / PAGE_SIZE, Infinity, ZAP_FLAG_DROP_MARKER);
  up_write(m, mapping.i_mmap_rwsem);
  yield* remove_inode_hugepages(m, node, length, Infinity);
  return 0;
}

/** fs/hugetlbfs/inode.c: hugetlbfs_zero_partial_page() */
function* hugetlbfs_zero_partial_page(
  m: Machine,
  h: hstate,
  mapping: address_space,
  start: number,
  end: number,
): Gen<void> {
  const size = huge_page_size(h);
  const folio = yield* filemap_lock_folio(m, mapping, Math.floor(start / size) * 2 ** h.order);
  if (folio === 0) return;
  const from = start % size;
  folio_zero_range(m, folio, from, (end % size === 0 ? size : end % size) - from);
  folio_unlock(m, folio);
  folio_put(m, folio);
}

/**
 * Leaves out preallocation, which throws Unmodelled (fs/hugetlbfs/inode.c: hugetlbfs_fallocate(), fs/hugetlbfs/inode.c:
 * hugetlbfs_punch_hole()).
 */
function* hugetlbfs_fallocate(m: Machine, f: file, mode: number, offset: number, len: number): Gen<number> {
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) return -EOPNOTSUPP;
  if (!(mode & FALLOC_FL_PUNCH_HOLE))
    throw new Unmodelled('fs/hugetlbfs/inode.c: hugetlbfs_fallocate() that allocates');
  const node = f.f_inode;
  const mapping = node.i_mapping as address_space;
  const h = hstate_file(m, f);
  const size = huge_page_size(h);
  const hole_start = Math.ceil(offset / size) * size;
  const hole_end = Math.floor((offset + len) / size) * size;
  yield* down_write(m, node.i_rwsem);
  yield* down_write(m, mapping.i_mmap_rwsem);
  if (offset < hole_start)
    yield* hugetlbfs_zero_partial_page(m, h, mapping, offset, Math.min(offset + len, hole_start));
  if (hole_end > hole_start) yield* hugetlb_vmdelete_list(m, mapping, hole_start / PAGE_SIZE, hole_end / PAGE_SIZE, 0);
  if (offset + len > hole_end && offset + len > hole_start)
    yield* hugetlbfs_zero_partial_page(m, h, mapping, hole_end, offset + len);
  up_write(m, mapping.i_mmap_rwsem);
  if (hole_end > hole_start) yield* remove_inode_hugepages(m, node, hole_start, hole_end);
  up_write(m, node.i_rwsem);
  return 0;
}

/** Operations of an open hugetlbfs file (fs/hugetlbfs/inode.c: hugetlbfs_file_operations). */
export const hugetlbfs_file_operations: file_operations = {
  read: hugetlbfs_read,
  mmap: hugetlbfs_file_mmap,
  fallocate: hugetlbfs_fallocate,
  setattr_size: hugetlbfs_setattr_size,
  get_unmapped_area: hugetlb_get_unmapped_area,
};

/**
 * Returns a file of `size` bytes, a multiple of the huge page size, for a mapping, or -errno. Of acctflag only
 * VM_NORESERVE has an effect (fs/hugetlbfs/inode.c: hugetlb_file_setup()).
 */
export function* hugetlb_file_setup(
  m: Machine,
  name: string,
  size: number,
  acctflag: number,
  _creat_flags: number,
  page_size_log: number,
): Gen<file | number> {
  const h = hstate_sizelog(m, page_size_log);
  if (h === null) return -ENODEV;
  const node = hugetlbfs_get_inode(m, h);
  node.i_size = size;
  if ((yield* hugetlb_reserve_pages(m, node, 0, size / huge_page_size(h), null, acctflag)) < 0) {
    m.mappings.remove((node.i_mapping as address_space).id);
    return -ENOMEM;
  }
  const f = alloc_file(m, node, `/${name} (deleted)`, O_RDWR, hugetlbfs_file_operations);
  node.i_count--;
  return f;
}
