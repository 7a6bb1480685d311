// SPDX-License-Identifier: GPL-2.0-only

import { mk_pte, pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  pfn_pte,
  pgd_index,
  pmd_index,
  pmd_leaf,
  pmd_none,
  pmd_present,
  pmdp_get,
  type ptdesc,
  pte_index,
  pte_mkdirty,
  pte_mkspecial,
  pte_mkuffd,
  pte_mkwrite,
  pte_none,
  ptep_get,
  pud_index,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import { copy_from_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EEXIST, EFAULT, EINTR, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP } from '../../errno.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import type { address_space, file } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { mutex_lock, mutex_unlock } from '../../kernel/locking/mutex.ts';
import { WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched, fatal_signal_pending } from '../../kernel/sched/core.ts';
import { folio_unlock } from '../filemap/folio_lock.ts';
import { folio_add_lru_vma, folio_put } from '../folio.ts';
import { hugetlb_fault_mutex_hash } from '../hugetlb/fault.ts';
import { hugetlb_mfill_atomic_pte } from '../hugetlb/mfill.ts';
import { hstate_vma, hugetlb_vm_ops, vma_kernel_pagesize } from '../hugetlb/pool.ts';
import { hugetlb_vma_lock_read, hugetlb_vma_unlock_read, vma_hugecache_offset } from '../hugetlb/resv.ts';
import { huge_pte_alloc, huge_pte_index } from '../hugetlb/vma.ts';
import { pte_is_uffd_wp_marker } from '../leafops.ts';
import { pmd_alloc, pte_alloc, pud_alloc } from '../memory/pgalloc.ts';
import {
  add_mm_counter,
  is_vm_hugetlb_page,
  linear_page_index,
  mm_counter,
  type mm_struct,
  type vm_area_struct,
  VM_SHARED,
  VM_UFFD_FLAGS,
  VM_UFFD_WP,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm_types.ts';
import {
  lock_vma_under_rcu,
  mmap_read_lock,
  mmap_read_unlock,
  vma_end_read,
  vma_start_read_locked,
} from '../mmap_lock.ts';
import { folio_mark_uptodate } from '../page-flags.ts';
import { folio_pfn } from '../page.ts';
import { folio_alloc, GFP_HIGHUSER_MOVABLE } from '../page_alloc.ts';
import { pte_offset_map_lock } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { anon_vma_prepare } from '../rmap/anon_vma.ts';
import { folio_add_file_rmap_pte, folio_add_new_anon_rmap, RMAP_EXCLUSIVE } from '../rmap/rmap.ts';
import {
  shmem_mfill_filemap_add,
  shmem_mfill_filemap_remove,
  shmem_mfill_folio_alloc,
  vma_is_shmem,
} from '../shmem.ts';
import { folio_mapping } from '../util.ts';
import { vma_lookup } from '../vma/vma.ts';
import type { userfaultfd_ctx } from './userfaultfd.ts';

// Contents of a filled page (include/linux/userfaultfd_k.h: enum mfill_atomic_mode).
export const MFILL_ATOMIC_COPY = 0;
export const MFILL_ATOMIC_ZEROPAGE = 1;

/** How a type of mapping provides pages (include/linux/userfaultfd_k.h: struct vm_uffd_ops). */
interface vm_uffd_ops {
  alloc_folio?: (m: Machine, vma: vm_area_struct, addr: number) => number;
  filemap_add?: (m: Machine, folio: number, vma: vm_area_struct, addr: number) => number;
  filemap_remove?: (m: Machine, folio: number, vma: vm_area_struct) => void;
}

const anon_uffd_ops: vm_uffd_ops = { alloc_folio: (m) => folio_alloc(m, GFP_HIGHUSER_MOVABLE, 0) };
const hugetlb_uffd_ops: vm_uffd_ops = {};
const shmem_uffd_ops: vm_uffd_ops = {
  alloc_folio: shmem_mfill_folio_alloc,
  filemap_add: shmem_mfill_filemap_add,
  filemap_remove: shmem_mfill_filemap_remove,
};

/** Returns the userfaultfd operations of the vma, or null if it supports none (mm/userfaultfd.c: vma_uffd_ops()). */
export function vma_uffd_ops(vma: vm_area_struct): vm_uffd_ops | null {
  if (vma_is_anonymous(vma)) return anon_uffd_ops;
  if (vma_is_shmem(vma)) return shmem_uffd_ops;
  return vma.vm_ops === hugetlb_vm_ops ? hugetlb_uffd_ops : null;
}

/** State of a UFFDIO_COPY or UFFDIO_ZEROPAGE (mm/userfaultfd.c: struct mfill_state). */
class mfill_state {
  readonly ctx: userfaultfd_ctx;
  readonly mode: number;
  readonly dst_start: number;
  readonly len: number;
  readonly wp: boolean;
  src_addr: number;
  dst_addr: number;
  vma: vm_area_struct | null = null;
  pmdt: ptdesc | null = null;
  constructor(ctx: userfaultfd_ctx, mode: number, dst: number, src: number, len: number, wp: boolean) {
    this.ctx = ctx;
    this.mode = mode;
    this.dst_start = dst;
    this.len = len;
    this.wp = wp;
    this.src_addr = src;
    this.dst_addr = dst;
  }
}

/** mm/userfaultfd.c: uffd_lock_vma() */
function* uffd_lock_vma(m: Machine, mm: mm_struct, address: number): Gen<vm_area_struct | number> {
  const fast = yield* lock_vma_under_rcu(m, mm, address);
  if (fast !== null) {
    if (fast.vm_flags & VM_SHARED || fast.anon_vma !== null) return fast;
    vma_end_read(m, fast);
  }
  yield* mmap_read_lock(m, mm);
  const vma = vma_lookup(mm, address);
  let ret: vm_area_struct | number;
  if (vma === null) ret = -ENOENT;
  else if (!(vma.vm_flags & VM_SHARED) && (yield* anon_vma_prepare(m, vma)) !== 0) ret = -ENOMEM;
  else ret = vma_start_read_locked(m, vma) ? vma : -EAGAIN;
  mmap_read_unlock(m, mm);
  return ret;
}

/** mm/userfaultfd.c: uffd_mfill_lock() */
function* uffd_mfill_lock(m: Machine, mm: mm_struct, dst_start: number, len: number): Gen<vm_area_struct | number> {
  const vma = yield* uffd_lock_vma(m, mm, dst_start);
  if (typeof vma === 'number') return vma;
  if (dst_start + len <= vma.vm_end && vma.vm_userfaultfd_ctx !== null) return vma;
  vma_end_read(m, vma);
  return -ENOENT;
}

/** mm/userfaultfd.c: mfill_put_vma() */
function mfill_put_vma(m: Machine, state: mfill_state): void {
  if (state.vma === null) return;
  vma_end_read(m, state.vma);
  state.vma = null;
}

/** mm/userfaultfd.c: mfill_get_vma() */
function* mfill_get_vma(m: Machine, state: mfill_state): Gen<number> {
  const vma = yield* uffd_mfill_lock(m, state.ctx.mm, state.dst_start, state.len);
  if (typeof vma === 'number') return vma;
  state.vma = vma;
  const bad =
    WARN_ON_ONCE(m, vma_is_anonymous(vma) && (vma.vm_flags & VM_SHARED) !== 0, 'mfill_get_vma') ||
    (state.wp && !(vma.vm_flags & VM_UFFD_WP)) ||
    vma_uffd_ops(vma) === null;
  if (!bad) return 0;
  mfill_put_vma(m, state);
  return -EINVAL;
}

/** mm/userfaultfd.c: mfill_establish_pmd() */
function* mfill_establish_pmd(m: Machine, state: mfill_state): Gen<number> {
  const mm = state.ctx.mm;
  const pmdt = yield* mm_alloc_pmd(m, mm, state.dst_addr);
  if (pmdt === null) return -ENOMEM;
  const pi = pmd_index(state.dst_addr);
  if (pmd_none(pmdp_get(pmdt, pi)) && (yield* pte_alloc(m, mm, pmdt, pi)) !== 0) return -ENOMEM;
  const pmd = pmdp_get(pmdt, pi);
  if (!pmd_present(pmd) && pte_none(pmd)) return -EEXIST;
  if (pmd_leaf(pmd) || (pmdt.child?.[pi] ?? null) === null) return -EEXIST;
  state.pmdt = pmdt;
  return 0;
}

/** mm/userfaultfd.c: mfill_file_over_size() */
function mfill_file_over_size(vma: vm_area_struct, addr: number): boolean {
  return vma.vm_file !== null && linear_page_index(vma, addr) >= Math.ceil(vma.vm_file.f_inode.i_size / PAGE_SIZE);
}

/** mm/userfaultfd.c: mfill_atomic_install_pte() */
function* mfill_atomic_install_pte(
  m: Machine,
  pmdt: ptdesc,
  vma: vm_area_struct,
  addr: number,
  folio: number,
  wp: boolean,
): Gen<number> {
  const mm = vma.vm_mm;
  const page_in_cache = folio_mapping(m, folio) !== null;
  let pte = pte_mkdirty(mk_pte(m, folio, vma.vm_page_prot));
  if (vma.vm_flags & VM_WRITE && !(page_in_cache && !(vma.vm_flags & VM_SHARED))) pte = pte_mkwrite(pte);
  if (wp) pte = pte_mkuffd(pte);
  const pt = yield* pte_offset_map_lock(m, mm, pmdt, pmd_index(addr), addr);
  if (pt === null) return -EAGAIN;
  let ret = 0;
  const old = ptep_get(pt, pte_index(addr));
  if (mfill_file_over_size(vma, addr)) ret = -EFAULT;
  else if (!pte_none(old) && !pte_is_uffd_wp_marker(old)) ret = -EEXIST;
  else {
    if (page_in_cache) folio_add_file_rmap_pte(m, folio, folio, vma);
    else {
      folio_add_new_anon_rmap(m, folio, vma, addr, RMAP_EXCLUSIVE);
      folio_add_lru_vma(m, folio, vma);
    }
    add_mm_counter(mm, mm_counter(m, folio), 1);
    set_pte_at(m, mm, addr, pt, pte_index(addr), pte);
    if (page_in_cache) folio_unlock(m, folio);
  }
  pte_unmap_unlock(m, pt);
  return ret;
}

/**
 * Copies user memory to a folio, without page faults unless may_fault. Returns the bytes not copied (mm/userfaultfd.c:
 * mfill_copy_folio_locked()).
 */
export function* copy_to_folio(m: Machine, folio: number, src: number, size: number, may_fault: boolean): Gen<number> {
  const pfn = folio_pfn(m, folio);
  for (let off = 0; off < size; off += PAGE_SIZE) {
    if (!may_fault) m.current.pagefault_disabled++;
    const left = yield* copy_from_user(m, m.ram.bytes(pfn + off / PAGE_SIZE), src + off, PAGE_SIZE);
    if (!may_fault) m.current.pagefault_disabled--;
    if (left !== 0) return size - off - (PAGE_SIZE - left);
  }
  return 0;
}

/**
 * Copies without locks, then locks the vma again. Returns -EAGAIN if it changed meanwhile (mm/userfaultfd.c:
 * mfill_copy_folio_retry()).
 */
function* mfill_copy_folio_retry(m: Machine, state: mfill_state, folio: number): Gen<number> {
  const was = state.vma as vm_area_struct;
  const mask = VM_UFFD_FLAGS | VM_SHARED;
  const flags = was.vm_flags & mask;
  const ops = vma_uffd_ops(was);
  const pgoff = was.vm_pgoff;
  const f: file | null = was.vm_file === null ? null : get_file(was.vm_file);
  mfill_put_vma(m, state);
  let err = 0;
  if ((yield* copy_to_folio(m, folio, state.src_addr, PAGE_SIZE, true)) !== 0) err = -EFAULT;
  else err = yield* mfill_get_vma(m, state);
  const vma: vm_area_struct | null = state.vma;
  if (err === 0 && vma !== null) {
    const changed =
      (vma.vm_flags & mask) !== flags ||
      vma_uffd_ops(vma) !== ops ||
      (f === null ? !vma_is_anonymous(vma) : vma.vm_file !== f || vma.vm_pgoff !== pgoff);
    err = changed ? -EAGAIN : yield* mfill_establish_pmd(m, state);
  }
  if (f !== null) fput(m, f);
  return err;
}

/** mm/userfaultfd.c: __mfill_atomic_pte() */
function* __mfill_atomic_pte(m: Machine, state: mfill_state, ops: vm_uffd_ops): Gen<number> {
  if (ops.alloc_folio === undefined) return -EOPNOTSUPP;
  const folio = ops.alloc_folio(m, state.vma as vm_area_struct, state.dst_addr);
  if (folio === 0) return -ENOMEM;
  let ret = 0;
  if (state.mode === MFILL_ATOMIC_COPY) {
    if ((yield* copy_to_folio(m, folio, state.src_addr, PAGE_SIZE, false)) !== 0)
      ret = yield* mfill_copy_folio_retry(m, state, folio);
  } else m.ram.clear(folio_pfn(m, folio));
  if (ret === 0) {
    const vma = state.vma as vm_area_struct;
    folio_mark_uptodate(m, folio);
    if (ops.filemap_add !== undefined) ret = ops.filemap_add(m, folio, vma, state.dst_addr);
    if (ret === 0) {
      ret = yield* mfill_atomic_install_pte(m, state.pmdt as ptdesc, vma, state.dst_addr, folio, state.wp);
      if (ret === 0) return 0;
      ops.filemap_remove?.(m, folio, vma);
    }
  }
  folio_put(m, folio);
  return ret;
}

/** mm/userfaultfd.c: mfill_atomic_pte_zeropage() */
function* mfill_atomic_pte_zeropage(m: Machine, state: mfill_state): Gen<number> {
  const vma = state.vma as vm_area_struct;
  if (vma.vm_flags & VM_SHARED) return yield* __mfill_atomic_pte(m, state, vma_uffd_ops(vma) as vm_uffd_ops);
  const addr = state.dst_addr;
  const pt = yield* pte_offset_map_lock(m, vma.vm_mm, state.pmdt as ptdesc, pmd_index(addr), addr);
  if (pt === null) return -EAGAIN;
  let ret = 0;
  if (mfill_file_over_size(vma, addr)) ret = -EFAULT;
  else if (!pte_none(ptep_get(pt, pte_index(addr)))) ret = -EEXIST;
  else
    set_pte_at(
      m,
      vma.vm_mm,
      addr,
      pt,
      pte_index(addr),
      pte_mkspecial(pfn_pte(folio_pfn(m, m.zero_page), vma.vm_page_prot)),
    );
  pte_unmap_unlock(m, pt);
  return ret;
}

/** Receives the folio for a copy that must be done without locks. NON-KERNEL (upstream: the foliop pointer). */
export interface spare {
  folio: number;
}

/** mfill_atomic() for a hugetlb vma, which it unlocks (mm/userfaultfd.c: mfill_atomic_hugetlb()). */
function* mfill_atomic_hugetlb(m: Machine, state: mfill_state): Gen<number> {
  let vma = state.vma as vm_area_struct;
  const mm = vma.vm_mm;
  const size = vma_kernel_pagesize(m, vma);
  const spare: spare = { folio: 0 };
  let err = -EINVAL;
  if (state.mode === MFILL_ATOMIC_ZEROPAGE || state.dst_start % size !== 0 || state.len % size !== 0) {
    vma_end_read(m, vma);
    return err;
  }
  let copied = 0;
  while (copied < state.len) {
    const dst = state.dst_start + copied;
    const lock = hugetlb_fault_mutex_hash(
      m,
      (vma.vm_file as file).f_mapping as address_space,
      vma_hugecache_offset(hstate_vma(m, vma), vma, dst),
    );
    yield* mutex_lock(m, lock);
    yield* hugetlb_vma_lock_read(m, vma);
    const pt = yield* huge_pte_alloc(m, mm, vma, dst, size);
    if (pt === null) err = -ENOMEM;
    else {
      const old = ptep_get(pt, huge_pte_index(hstate_vma(m, vma), dst));
      if (!pte_none(old) && !pte_is_uffd_wp_marker(old)) err = -EEXIST;
      else err = yield* hugetlb_mfill_atomic_pte(m, pt, vma, dst, state.src_addr + copied, state.wp, spare);
    }
    hugetlb_vma_unlock_read(m, vma);
    mutex_unlock(m, lock);
    yield* cond_resched(m);
    if (err === -ENOENT) {
      vma_end_read(m, vma);
      if ((yield* copy_to_folio(m, spare.folio, state.src_addr + copied, size, true)) !== 0) {
        folio_put(m, spare.folio);
        return copied > 0 ? copied : -EFAULT;
      }
      const again = yield* uffd_mfill_lock(m, mm, state.dst_start, state.len);
      const bad =
        typeof again === 'number'
          ? again
          : !is_vm_hugetlb_page(again)
            ? -ENOENT
            : size !== vma_kernel_pagesize(m, again)
              ? -EINVAL
              : 0;
      if (typeof again === 'number' || bad !== 0) {
        if (typeof again !== 'number') vma_end_read(m, again);
        folio_put(m, spare.folio);
        return copied > 0 ? copied : bad;
      }
      vma = again;
      continue;
    }
    if (err === 0) {
      copied += size;
      if (fatal_signal_pending(m.current)) err = -EINTR;
    }
    if (err !== 0) break;
  }
  vma_end_read(m, vma);
  if (spare.folio !== 0) folio_put(m, spare.folio);
  return copied > 0 ? copied : err;
}

/**
 * Fills the missing pages of [dst, dst + len) with user memory at src or with zeroes, write-protected if `wp`. Returns
 * bytes or -errno (mm/userfaultfd.c: mfill_atomic()).
 */
export function* mfill_atomic(
  m: Machine,
  ctx: userfaultfd_ctx,
  mode: number,
  dst: number,
  src: number,
  len: number,
  wp: boolean,
): Gen<number> {
  const state = new mfill_state(ctx, mode, dst, src, len, wp);
  let err = yield* mfill_get_vma(m, state);
  if (err !== 0) return err;
  if (is_vm_hugetlb_page(state.vma as vm_area_struct)) return yield* mfill_atomic_hugetlb(m, state);
  let copied = 0;
  while (copied < len) {
    err = yield* mfill_establish_pmd(m, state);
    if (err !== 0) break;
    const vma = state.vma as vm_area_struct;
    if (mode === MFILL_ATOMIC_ZEROPAGE) err = yield* mfill_atomic_pte_zeropage(m, state);
    else
      err = yield* __mfill_atomic_pte(
        m,
        state,
        vma.vm_flags & VM_SHARED ? (vma_uffd_ops(vma) as vm_uffd_ops) : anon_uffd_ops,
      );
    yield* cond_resched(m);
    if (err === 0) {
      state.dst_addr += PAGE_SIZE;
      state.src_addr += PAGE_SIZE;
      copied += PAGE_SIZE;
      if (fatal_signal_pending(m.current)) err = -EINTR;
    }
    if (err !== 0) break;
  }
  mfill_put_vma(m, state);
  return copied > 0 ? copied : err;
}

/**
 * Returns the pmd table of the address and allocates missing tables above it; null without memory (mm/userfaultfd.c:
 * mm_alloc_pmd(), mm/mremap.c: alloc_new_pmd()).
 */
export function* mm_alloc_pmd(m: Machine, mm: mm_struct, addr: number): Gen<ptdesc | null> {
  const pudt = yield* pud_alloc(m, mm, mm.pgd, pgd_index(addr), addr);
  if (pudt === null) return null;
  return yield* pmd_alloc(m, mm, pudt, pud_index(addr), addr);
}
