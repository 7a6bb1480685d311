// SPDX-License-Identifier: GPL-2.0-only

import { vma_pgprot_modify } from '../../arch/x86/mm/pgprot.ts';
import { ALIGN, PAGE_ALIGN, PAGE_ALIGN_DOWN } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { flush_tlb_mm } from '../../arch/x86/mm/tlb.ts';
import type { Machine } from '../../machine.ts';
import { EACCES, EBADF, EEXIST, EINTR, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EOVERFLOW } from '../../errno.ts';
import { fget } from '../../fs/file.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { type file, O_ACCMODE, O_RDONLY, O_WRONLY } from '../../fs/fs.ts';
import { hugetlb_file_setup } from '../../fs/hugetlbfs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { WARN_ON_ONCE } from '../../kernel/printk.ts';
import { cond_resched, preempt_point } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { mapping_allow_writable } from '../filemap/filemap.ts';
import { mm_populate } from '../gup/gup.ts';
import { hstate_file, hstate_sizelog, huge_page_size, is_file_hugepages } from '../hugetlb/pool.ts';
import { hugetlb_dup_vma_private } from '../hugetlb/resv.ts';
import { mapping_rmap_tree_insert_after } from '../interval_tree.ts';
import { khugepaged_fork } from '../khugepaged/khugepaged.ts';
import { copy_page_range } from '../memory/copy.ts';
import { free_pgtables } from '../memory/free_pgtables.ts';
import { unmap_vmas } from '../memory/zap.ts';
import {
  is_vm_hugetlb_page,
  type mm_struct,
  MMF_OOM_SKIP,
  MMF_UNSTABLE,
  VM_ACCOUNT,
  type vm_area_struct,
  VM_DONTCOPY,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_READ,
  VM_SHARED,
  VM_SYNC,
  VM_WIPEONFORK,
  VM_WRITE,
  vma_pages,
} from '../mm_types.ts';
import {
  mmap_assert_write_locked,
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_lock,
  mmap_write_lock_killable,
  mmap_write_unlock,
  vma_mark_detached,
  vma_start_write,
  vma_start_write_killable,
} from '../mmap_lock.ts';
import { mmu_gather, tlb_finish_mmu, tlb_gather_mmu_fullmm } from '../mmu_gather.ts';
import { mmu_notifier_release } from '../mmu_notifier.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { anon_vma_fork } from '../rmap/anon_vma.ts';
import {
  dup_userfaultfd,
  dup_userfaultfd_complete,
  dup_userfaultfd_fail,
  type userfaultfd_fork_ctxs,
  userfaultfd_unmap_complete,
  type userfaultfd_unmap_ctxs,
} from '../userfaultfd/userfaultfd.ts';
import { security_vm_enough_memory_mm, vm_mmap_pgoff, vm_unacct_memory } from '../util.ts';
import { sysctl_max_map_count } from '../vma/merge.ts';
import { do_brk_flags, mmap_region } from '../vma/mmap_region.ts';
import { __vm_munmap, do_vmi_align_munmap, do_vmi_munmap, unmap_region, vma_munmap_struct } from '../vma/unmap.ts';
import {
  remove_vma,
  vma_find,
  vma_is_shared_maywrite,
  vma_iter_store_new,
  vma_iterator,
  vma_prev,
  vma_wants_writenotify,
} from '../vma/vma.ts';
import { vm_area_dup, vm_area_free } from '../vma_init.ts';
import { find_vma_intersection, vm_stat_account } from './find_vma.ts';
import {
  __get_unmapped_area,
  get_unmapped_area,
  mmap_min_addr,
  stack_guard_gap,
  vm_start_gap,
} from './unmapped_area.ts';

// include/uapi/asm-generic/mman-common.h, mman.h
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
const MAP_SHARED_VALIDATE = 0x03;
const MAP_DROPPABLE = 0x08;
const MAP_TYPE = 0x0f;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
const MAP_32BIT = 0x40;
const MAP_ABOVE4G = 0x80;
export const MAP_GROWSDOWN = 0x100;
const MAP_LOCKED = 0x2000;
const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
const MAP_NONBLOCK = 0x10000;
const MAP_STACK = 0x20000;
const MAP_HUGETLB = 0x40000;
const MAP_SYNC = 0x80000;
export const MAP_FIXED_NOREPLACE = 0x100000;
const MAP_HUGE_SHIFT = 26;
const MAP_HUGE_MASK = 0x3f;

/** flags to which MAP_SHARED is limited; MAP_SHARED_VALIDATE rejects others (include/linux/mman.h: LEGACY_MAP_MASK) */
const LEGACY_MAP_MASK =
  MAP_SHARED |
  MAP_PRIVATE |
  MAP_FIXED |
  MAP_ANONYMOUS |
  MAP_GROWSDOWN |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB |
  MAP_32BIT |
  MAP_ABOVE4G |
  0x800 |
  0x1000 |
  (21 << MAP_HUGE_SHIFT) |
  (30 << MAP_HUGE_SHIFT);

const HUGETLB_ANONHUGE_INODE = 2;

/** Returns VM_READ, VM_WRITE and VM_EXEC for PROT_* (include/linux/mman.h: calc_vm_prot_bits()). */
export function calc_vm_prot_bits(prot: number): number {
  return (prot & PROT_READ ? VM_READ : 0) | (prot & PROT_WRITE ? VM_WRITE : 0) | (prot & PROT_EXEC ? VM_EXEC : 0);
}

/** Returns the VM_* flags for MAP_* (include/linux/mman.h: calc_vm_flag_bits()). */
function calc_vm_flag_bits(flags: number): number {
  return (
    (flags & MAP_GROWSDOWN ? VM_GROWSDOWN : 0) |
    (flags & MAP_LOCKED ? VM_LOCKED : 0) |
    (flags & MAP_SYNC ? VM_SYNC : 0) |
    (flags & MAP_STACK ? VM_NOHUGEPAGE : 0)
  );
}

/** mm/mmap.c: round_hint_to_min() */
function round_hint_to_min(hint: number): number {
  hint = PAGE_ALIGN_DOWN(hint);
  return hint !== 0 && hint < mmap_min_addr ? mmap_min_addr : hint;
}

/**
 * Returns false if the range exceeds 2^63 bytes of a file or 2^64 of a device; len is a multiple of 4096 (mm/mmap.c:
 * file_mmap_ok()).
 */
function file_mmap_ok(f: file, pgoff: number, len: number): boolean {
  const regular = f.f_mapping !== null && f.f_mapping.kind !== 'none';
  return pgoff < (regular ? 2 ** 51 : 2 ** 52) - len / PAGE_SIZE;
}

/**
 * Creates a mapping in the current process, whose mmap_lock is held for writing. Returns the address or -errno, and in
 * populate.len the bytes that the caller must fault in (mm/mmap.c: do_mmap()). Leaves out MAP_DROPPABLE and memfd
 * seals.
 */
export function* do_mmap(
  m: Machine,
  f: file | null,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  vm_flags: number,
  pgoff: number,
  populate: { len: number },
  uf: userfaultfd_unmap_ctxs | null,
): Gen<number> {
  const mm = m.current.mm as mm_struct;
  populate.len = 0;
  mmap_assert_write_locked(mm);
  if (len === 0) return -EINVAL;
  if (flags & MAP_FIXED_NOREPLACE) flags |= MAP_FIXED;
  if ((flags & MAP_FIXED) === 0) addr = round_hint_to_min(addr);
  len = PAGE_ALIGN(len);
  if (len >= 2 ** 64) return -ENOMEM;
  if (mm.mm_mt.length > sysctl_max_map_count) return -ENOMEM;
  vm_flags |= calc_vm_prot_bits(prot) | calc_vm_flag_bits(flags) | mm.def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;

  addr = __get_unmapped_area(m, f, addr, len, pgoff, flags, vm_flags);
  if (addr < 0) return addr;
  if (flags & MAP_FIXED_NOREPLACE && find_vma_intersection(mm, addr, addr + len) !== null) return -EEXIST;

  const type = flags & MAP_TYPE;
  if (f !== null) {
    const mode = f.f_flags & O_ACCMODE;
    if (!file_mmap_ok(f, pgoff, len)) return -EOVERFLOW;
    if (type === MAP_SHARED || type === MAP_SHARED_VALIDATE) {
      if (type === MAP_SHARED) flags &= LEGACY_MAP_MASK;
      if (flags & ~LEGACY_MAP_MASK) return -EOPNOTSUPP;
      if (prot & PROT_WRITE && mode === O_RDONLY) return -EACCES;
      vm_flags |= VM_SHARED | VM_MAYSHARE;
      if (mode === O_RDONLY) vm_flags &= ~(VM_MAYWRITE | VM_SHARED);
    } else if (type !== MAP_PRIVATE) {
      return -EINVAL;
    }
    if (mode === O_WRONLY) return -EACCES;
    if (f.f_op.mmap === undefined && f.f_op.mmap_prepare === undefined) return -ENODEV;
    if (vm_flags & VM_GROWSDOWN) return -EINVAL;
  } else if (type === MAP_SHARED) {
    if (vm_flags & VM_GROWSDOWN) return -EINVAL;
    pgoff = 0;
    vm_flags |= VM_SHARED | VM_MAYSHARE;
  } else if (type === MAP_PRIVATE) {
    pgoff = addr / PAGE_SIZE;
  } else if (type === MAP_DROPPABLE) {
    throw new Unmodelled('do_mmap: MAP_DROPPABLE');
  } else {
    return -EINVAL;
  }
  if (flags & MAP_NORESERVE) vm_flags |= VM_NORESERVE;

  addr = yield* mmap_region(m, f, addr, len, vm_flags, pgoff, uf);
  if (addr >= 0 && (vm_flags & VM_LOCKED || (flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE))
    populate.len = len;
  return addr;
}

/** Maps a descriptor's file or anonymous memory; MAP_HUGETLB uses huge pages (mm/mmap.c: ksys_mmap_pgoff()). */
export function* ksys_mmap_pgoff(
  m: Machine,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  fd: number,
  pgoff: number,
): Gen<number> {
  let f: file | null = null;
  if ((flags & MAP_ANONYMOUS) === 0) {
    f = fget(m, fd);
    if (f === null) return -EBADF;
    if (is_file_hugepages(f)) {
      len = ALIGN(len, huge_page_size(hstate_file(m, f)));
    } else if (flags & MAP_HUGETLB) {
      fput(m, f);
      return -EINVAL;
    }
  } else if (flags & MAP_HUGETLB) {
    const log = (flags >>> MAP_HUGE_SHIFT) & MAP_HUGE_MASK;
    const hs = hstate_sizelog(m, log);
    if (hs === null) return -EINVAL;
    len = ALIGN(len, huge_page_size(hs));
    const made = yield* hugetlb_file_setup(m, 'anon_hugepage', len, VM_NORESERVE, HUGETLB_ANONHUGE_INODE, log);
    if (typeof made === 'number') return made;
    f = made;
  }
  const ret = yield* vm_mmap_pgoff(m, f, addr, len, prot, flags, pgoff);
  if (f !== null) fput(m, f);
  return ret;
}

/**
 * The brk system call. Returns the end of the heap, unchanged on failure (mm/mmap.c: brk()). Leaves out resource
 * limits.
 */
export function* sys_brk(m: Machine, brk: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const uf: userfaultfd_unmap_ctxs = [];
  if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  const origbrk = mm.brk;
  const newbrk = PAGE_ALIGN(brk);
  const oldbrk = PAGE_ALIGN(origbrk);
  const vmi = new vma_iterator(mm, newbrk);
  let ok = brk >= mm.start_brk;
  if (ok && oldbrk === newbrk) {
    mm.brk = brk;
  } else if (ok && brk <= mm.brk) {
    const brkvma = vma_find(vmi, oldbrk);
    ok = brkvma !== null;
    if (brkvma !== null) {
      mm.brk = brk;
      if ((yield* do_vmi_align_munmap(m, new vma_munmap_struct(vmi, brkvma, newbrk, oldbrk, uf, true))) === 0) {
        yield* userfaultfd_unmap_complete(m, mm, uf);
        return brk;
      }
      ok = false;
    }
  } else if (ok) {
    ok = get_unmapped_area(m, null, oldbrk, newbrk - oldbrk, 0, MAP_FIXED) >= 0;
    const next = ok ? vma_find(new vma_iterator(mm, oldbrk), newbrk + PAGE_SIZE + stack_guard_gap) : null;
    if (next !== null && newbrk + PAGE_SIZE > vm_start_gap(next)) ok = false;
    if (ok) {
      const at = new vma_iterator(mm, oldbrk);
      const prev = vma_prev(at);
      const brkvma = prev !== null && prev.vm_end > mm.start_brk ? prev : null;
      ok = (yield* do_brk_flags(m, at, brkvma, oldbrk, newbrk - oldbrk, 0)) >= 0;
    }
    if (ok) mm.brk = brk;
  }
  if (!ok) {
    mm.brk = origbrk;
    mmap_write_unlock(m, mm);
    return origbrk;
  }
  const populate = newbrk > oldbrk && (mm.def_flags & VM_LOCKED) !== 0;
  mmap_write_unlock(m, mm);
  if (populate) yield* mm_populate(m, oldbrk, newbrk - oldbrk);
  return brk;
}

/**
 * Maps zeroes at a page-aligned address, of a program's data that its file does not have. Returns 0 or -errno
 * (mm/mmap.c: vm_brk_flags()). Leaves out resource limits.
 */
export function* vm_brk_flags(m: Machine, addr: number, request: number, is_exec: boolean): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const uf: userfaultfd_unmap_ctxs = [];
  const len = PAGE_ALIGN(request);
  if (len === 0) return 0;
  if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  let ret = get_unmapped_area(m, null, addr, len, 0, MAP_FIXED);
  if (ret >= 0) ret = yield* do_vmi_munmap(m, new vma_iterator(mm, addr), mm, addr, len, uf, false);
  if (ret === 0) {
    const at = new vma_iterator(mm, addr);
    ret = yield* do_brk_flags(m, at, vma_prev(at), addr, len, is_exec ? VM_EXEC : 0);
  }
  const populate = (mm.def_flags & VM_LOCKED) !== 0;
  mmap_write_unlock(m, mm);
  yield* userfaultfd_unmap_complete(m, mm, uf);
  if (populate && ret === 0) yield* mm_populate(m, addr, len);
  return ret;
}

/**
 * Closes and frees all vmas of an mm that exits or whose fork failed. Returns the pages charged for them (mm/mmap.c:
 * tear_down_vmas()).
 */
function* tear_down_vmas(m: Machine, mm: mm_struct): Gen<number> {
  let nr_accounted = 0;
  mmap_assert_write_locked(mm);
  for (const vma of mm.mm_mt) {
    if (vma.vm_flags & VM_ACCOUNT) nr_accounted += vma_pages(vma);
    vma_mark_detached(vma);
    yield* remove_vma(m, vma);
    yield* cond_resched(m);
  }
  mm.mm_mt.length = 0;
  return nr_accounted;
}

/** Unmaps the address space of an mm without users (mm/mmap.c: exit_mmap()). */
export function* exit_mmap(m: Machine, mm: mm_struct): Gen<void> {
  yield* mmu_notifier_release(m, mm);
  yield* mmap_read_lock(m, mm);
  const vmas = mm.mm_mt.slice();
  if (vmas.length === 0) {
    mmap_read_unlock(m, mm);
    return;
  }
  const tlb = new mmu_gather();
  tlb_gather_mmu_fullmm(m, tlb, mm);
  yield* unmap_vmas(m, tlb, { vmas, pg_start: 0, pg_end: 0, vma_start: 0, vma_end: Infinity, mm_wr_locked: false });
  mmap_read_unlock(m, mm);
  mm.flags |= MMF_OOM_SKIP;
  yield* mmap_write_lock(m, mm);
  yield* free_pgtables(m, tlb, { vmas, pg_start: 0, pg_end: 0, vma_start: 0, vma_end: 0, mm_wr_locked: true });
  tlb_finish_mmu(m, tlb);
  const nr_accounted = yield* tear_down_vmas(m, mm);
  mmap_write_unlock(m, mm);
  vm_unacct_memory(m, nr_accounted);
}

/**
 * Copies one vma to the child: the loop body of dup_mmap(). On an error after it was stored, the new vma stays in the
 * child's mm. Returns 0 or -errno (mm/mmap.c: dup_mmap()).
 */
function* dup_vma(
  m: Machine,
  mm: mm_struct,
  mpnt: vm_area_struct,
  vmi: vma_iterator,
  uf: userfaultfd_fork_ctxs,
): Gen<number> {
  const oldmm = mpnt.vm_mm;
  const charge = mpnt.vm_flags & VM_ACCOUNT ? vma_pages(mpnt) : 0;
  if (charge !== 0 && security_vm_enough_memory_mm(m, oldmm, charge)) return -ENOMEM;
  const tmp = vm_area_dup(m, mpnt);
  tmp.vm_mm = mm;
  let retval = dup_userfaultfd(m, tmp, uf);
  if (!retval) {
    if (tmp.vm_flags & VM_WIPEONFORK) tmp.anon_vma = null;
    else retval = yield* anon_vma_fork(m, tmp, mpnt);
  }
  if (retval) {
    vm_area_free(m, tmp);
    vm_unacct_memory(m, charge);
    return -ENOMEM;
  }
  yield* vma_start_write(m, tmp);
  tmp.vm_flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
  if (is_vm_hugetlb_page(tmp)) hugetlb_dup_vma_private(m, tmp);
  vma_iter_store_new(vmi, tmp);
  tmp.vm_ops?.open?.(m, tmp);
  if (tmp.vm_file !== null) {
    get_file(tmp.vm_file);
    const mapping = tmp.vm_file.f_mapping;
    if (mapping !== null) {
      yield* down_write(m, mapping.i_mmap_rwsem);
      if (vma_is_shared_maywrite(tmp)) mapping_allow_writable(mapping);
      mapping_rmap_tree_insert_after(tmp, mpnt, mapping);
      up_write(m, mapping.i_mmap_rwsem);
    }
  }
  return tmp.vm_flags & VM_WIPEONFORK ? 0 : yield* copy_page_range(m, tmp, mpnt);
}

/**
 * Copies the parent's vmas and page tables to a new mm. Returns 0, or -errno with the new mm empty (mm/mmap.c:
 * dup_mmap()).
 */
export function* dup_mmap(m: Machine, mm: mm_struct, oldmm: mm_struct): Gen<number> {
  const uf: userfaultfd_fork_ctxs = [];
  const vmi = new vma_iterator(mm, 0);
  if (yield* mmap_write_lock_killable(m, oldmm)) return -EINTR;
  yield* mmap_write_lock(m, mm);
  mm.total_vm = oldmm.total_vm;
  mm.data_vm = oldmm.data_vm;
  mm.exec_vm = oldmm.exec_vm;
  mm.stack_vm = oldmm.stack_vm;
  let retval = 0;
  let failed_at = Infinity;
  for (const [i, mpnt] of oldmm.mm_mt.entries()) {
    retval = yield* vma_start_write_killable(m, mpnt);
    if (!retval && mpnt.vm_flags & VM_DONTCOPY) {
      vm_stat_account(mm, mpnt.vm_flags, -vma_pages(mpnt));
      continue;
    }
    if (!retval) retval = yield* dup_vma(m, mm, mpnt, vmi, uf);
    if (retval) {
      failed_at = oldmm.mm_mt[i + 1]?.vm_start ?? Infinity;
      break;
    }
  }
  if (!retval) {
    khugepaged_fork(m, mm, oldmm);
  } else {
    mm.flags |= MMF_OOM_SKIP;
    if (mm.mm_mt.length > 0) {
      yield* unmap_region(m, {
        vmas: mm.mm_mt.slice(),
        pg_start: 0,
        pg_end: 0,
        vma_start: 0,
        vma_end: failed_at,
        mm_wr_locked: true,
      });
      vm_unacct_memory(m, yield* tear_down_vmas(m, mm));
    }
    WARN_ON_ONCE(m, mm.mm_mt.length !== 0, 'dup_mmap');
    mm.flags |= MMF_UNSTABLE;
  }
  mmap_write_unlock(m, mm);
  if (m.sched.explore) yield* preempt_point(m, 'flush_tlb_mm');
  flush_tlb_mm(m, oldmm);
  mmap_write_unlock(m, oldmm);
  if (!retval) yield* dup_userfaultfd_complete(m, uf);
  else dup_userfaultfd_fail(m, uf);
  return retval;
}

/** Sets vm_page_prot from vm_flags, read-only if writes must fault (mm/mmap.c: vma_set_page_prot()). */
export function vma_set_page_prot(vma: vm_area_struct): void {
  let prot = vma_pgprot_modify(vma.vm_page_prot, vma.vm_flags);
  if (vma_wants_writenotify(vma, prot)) prot = vma_pgprot_modify(prot, vma.vm_flags & ~VM_SHARED);
  vma.vm_page_prot = prot;
}

/** Unmaps a range of the mm, whose mmap_lock is held for writing throughout (mm/mmap.c: do_munmap()). */
export function* do_munmap(
  m: Machine,
  mm: mm_struct,
  start: number,
  len: number,
  uf: userfaultfd_unmap_ctxs | null,
): Gen<number> {
  return yield* do_vmi_munmap(m, new vma_iterator(mm, start), mm, start, len, uf, false);
}

/** Unmaps a range of the current process (mm/mmap.c: vm_munmap()). */
export function* vm_munmap(m: Machine, start: number, len: number): Gen<number> {
  return yield* __vm_munmap(m, start, len, false);
}

/** The munmap system call (mm/mmap.c: munmap()). */
export function* sys_munmap(m: Machine, addr: number, len: number): Gen<number> {
  return yield* __vm_munmap(m, addr, len, true);
}
