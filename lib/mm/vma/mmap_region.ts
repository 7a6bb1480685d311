// SPDX-License-Identifier: GPL-2.0-only
// The part of mm/vma.c that creates mappings.

import { STACK_LIMIT } from '../../arch/x86/mm/fault.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { PAGE_ALIGN_DOWN } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EACCES, EFAULT, ENOMEM, EPERM } from '../../errno.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import type { file } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { mapping_map_writable, mapping_unmap_writable } from '../filemap/filemap.ts';
import { is_file_hugepages } from '../hugetlb/pool.ts';
import { khugepaged_enter_vma } from '../khugepaged/khugepaged.ts';
import {
  type anon_vma,
  type mm_struct,
  VM_ACCOUNT,
  type vm_area_struct,
  VM_GROWSDOWN,
  VM_HUGETLB,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_NORESERVE,
  type vm_operations_struct,
  VM_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_WRITE,
  vma_is_anonymous,
} from '../mm_types.ts';
import { find_vma_prev, vm_stat_account } from '../mmap/find_vma.ts';
import { vma_set_page_prot } from '../mmap/mmap.ts';
import { mmap_min_addr, stack_guard_gap } from '../mmap/unmapped_area.ts';
import { mmap_assert_write_locked, vma_start_write } from '../mmap_lock.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { anon_vma_lock_write, anon_vma_prepare, anon_vma_unlock_write } from '../rmap/anon_vma.ts';
import { shmem_zero_setup } from '../shmem.ts';
import type { userfaultfd_unmap_ctxs } from '../userfaultfd/userfaultfd.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from '../util.ts';
import { vm_area_alloc, vm_area_free } from '../vma_init.ts';
import { sysctl_max_map_count, VMA_MERGE_ERROR_NOMEM, vma_merge_new_range, vma_merge_struct } from './merge.ts';
import {
  unmap_region,
  vma_munmap_struct,
  vms_abort_munmap_vmas,
  vms_clean_up_area,
  vms_complete_munmap_vmas,
  vms_gather_munmap_vmas,
} from './unmap.ts';
import {
  map_deny_write_exec,
  vma_dummy_vm_ops,
  vma_erase,
  vma_find,
  vma_is_accessible,
  vma_iter_store_new,
  vma_iterator,
  vma_link_file,
  vma_prev,
  vma_set_range,
} from './vma.ts';

/** flags of a heap without READ_IMPLIES_EXEC (arch/x86/include/asm/page_types.h: VMA_DATA_DEFAULT_FLAGS) */
const VM_DATA_DEFAULT_FLAGS = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;

/** A mapping that mmap_prepare() may change before its vma exists (include/linux/mm_types.h: struct vm_area_desc). */
export interface vm_area_desc {
  readonly mm: mm_struct;
  readonly start: number;
  readonly end: number;
  /** the file to map */
  readonly file: file;
  pgoff: number;
  /** the file of the vma */
  vm_file: file | null;
  vm_flags: number;
  page_prot: number;
  /** null makes the mapping anonymous */
  vm_ops: vm_operations_struct | null;
  private_data: unknown;
}

/** State of an mmap (mm/vma.c: struct mmap_state). */
interface mmap_state {
  readonly mm: mm_struct;
  readonly vmi: vma_iterator;
  readonly addr: number;
  readonly end: number;
  pgoff: number;
  readonly anon_pgoff: number;
  readonly pglen: number;
  vm_flags: number;
  file: file | null;
  page_prot: number;
  vm_ops: vm_operations_struct | null;
  vm_private_data: unknown;
  charged: number;
  prev: vm_area_struct | null;
  next: vm_area_struct | null;
  file_doesnt_need_get: boolean;
  readonly vms: vma_munmap_struct;
}

/** mm/vma.c: accountable_mapping() */
function accountable_mapping(map: mmap_state): boolean {
  if (map.file !== null && is_file_hugepages(map.file)) return false;
  return (map.vm_flags & (VM_WRITE | VM_NORESERVE | VM_SHARED)) === VM_WRITE;
}

/** Unmaps what the mapping replaces and charges its memory (mm/vma.c: __mmap_setup()). */
function* __mmap_setup(m: Machine, map: mmap_state): Gen<number> {
  const vms = map.vms;
  if (vms.vma !== null) {
    const error = yield* vms_gather_munmap_vmas(m, vms);
    if (error) {
      vms.nr_pages = 0;
      return error;
    }
    map.next = vms.next;
    map.prev = vms.prev;
  } else {
    const at = find_vma_prev(map.mm, map.addr);
    map.next = at.vma;
    map.prev = at.prev;
  }
  if (accountable_mapping(map)) {
    const uncharged = map.pglen - vms.nr_accounted;
    if (uncharged !== 0) {
      const error = security_vm_enough_memory_mm(m, map.mm, uncharged);
      if (error) return error;
    }
    map.charged = map.pglen;
    vms.nr_accounted = 0;
    map.vm_flags |= VM_ACCOUNT;
  }
  yield* vms_clean_up_area(m, vms);
  return 0;
}

/**
 * Calls the file's mmap_prepare() and applies what it changed (mm/vma.c: call_mmap_prepare()). Leaves out mmap actions,
 * which no modelled file requests.
 */
function call_mmap_prepare(m: Machine, map: mmap_state): number {
  const f = map.file as file;
  const desc: vm_area_desc = {
    mm: map.mm,
    start: map.addr,
    end: map.end,
    file: f,
    pgoff: map.pgoff,
    vm_file: f,
    vm_flags: map.vm_flags,
    page_prot: map.page_prot,
    vm_ops: vma_dummy_vm_ops,
    private_data: null,
  };
  const err = f.f_op.mmap_prepare === undefined ? 0 : f.f_op.mmap_prepare(m, desc);
  if (err) return err;
  map.pgoff = desc.pgoff;
  if (desc.vm_file !== map.file) {
    map.file_doesnt_need_get = true;
    map.file = desc.vm_file;
  }
  map.vm_flags = desc.vm_flags;
  map.page_prot = desc.page_prot;
  map.vm_ops = desc.vm_ops;
  map.vm_private_data = desc.private_data;
  return 0;
}

/** mm/vma.c: __mmap_new_file_vma() */
function* __mmap_new_file_vma(m: Machine, map: mmap_state, vma: vm_area_struct): Gen<number> {
  const f = map.file as file;
  vma.vm_file = f;
  if (!map.file_doesnt_need_get) get_file(f);
  if (f.f_op.mmap === undefined) return 0;
  const error = yield* f.f_op.mmap(m, f, vma);
  if (error) {
    vma.vm_ops = vma_dummy_vm_ops;
    fput(m, f);
    vma.vm_file = null;
    yield* unmap_region(m, {
      vmas: [vma],
      pg_start: map.prev === null ? 0 : map.prev.vm_end,
      pg_end: map.next === null ? 0 : map.next.vm_start,
      vma_start: vma.vm_start,
      vma_end: vma.vm_end,
      mm_wr_locked: true,
    });
    return error;
  }
  WARN_ON_ONCE(m, map.addr !== vma.vm_start, '__mmap_new_file_vma');
  map.file = vma.vm_file;
  map.vm_flags = vma.vm_flags;
  return 0;
}

/** Creates the vma after merging failed. Returns it or -errno (mm/vma.c: __mmap_new_vma()). */
function* __mmap_new_vma(m: Machine, map: mmap_state): Gen<vm_area_struct | number> {
  const is_anon = map.file === null && (map.vm_flags & VM_SHARED) === 0;
  const vma = vm_area_alloc(m, map.mm);
  if (is_anon) vma.vm_ops = null;
  vma_set_range(vma, map.addr, map.end, map.pgoff, map.anon_pgoff);
  vma.vm_flags = map.vm_flags;
  vma.vm_page_prot = map.page_prot;
  let error = 0;
  if (map.file !== null) error = yield* __mmap_new_file_vma(m, map, vma);
  else if (!is_anon) error = shmem_zero_setup(m, vma);
  if (error) {
    vm_area_free(m, vma);
    return error;
  }
  yield* vma_start_write(m, vma);
  vma_iter_store_new(map.vmi, vma);
  yield* vma_link_file(m, vma);
  if (!vma_is_anonymous(vma)) khugepaged_enter_vma(m, vma, map.vm_flags);
  return vma;
}

/** Frees what was replaced and completes the new vma (mm/vma.c: __mmap_complete()). */
function* __mmap_complete(m: Machine, map: mmap_state, vma: vm_area_struct): Gen<void> {
  const mm = map.mm;
  yield* vms_complete_munmap_vmas(m, map.vms);
  vm_stat_account(mm, vma.vm_flags, map.pglen);
  if (vma.vm_flags & VM_LOCKED) {
    if (vma.vm_flags & (VM_SPECIAL | VM_HUGETLB)) vma.vm_flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
    else mm.locked_vm += map.pglen;
  }
  vma_set_page_prot(vma);
}

/** Leaves out KSM and deferred close of the file (mm/vma.c: __mmap_region()). */
function* __mmap_region(
  m: Machine,
  f: file | null,
  addr: number,
  len: number,
  vm_flags: number,
  pgoff: number,
  uf: userfaultfd_unmap_ctxs | null,
): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const vmi = new vma_iterator(mm, addr);
  const first = vma_find(vmi, addr + len);
  const map: mmap_state = {
    mm,
    vmi,
    addr,
    end: addr + len,
    pgoff,
    anon_pgoff: addr / PAGE_SIZE,
    pglen: len / PAGE_SIZE,
    vm_flags,
    file: f,
    page_prot: vm_get_page_prot(vm_flags),
    vm_ops: null,
    vm_private_data: null,
    charged: 0,
    prev: null,
    next: null,
    file_doesnt_need_get: false,
    vms: new vma_munmap_struct(vmi, first, addr, addr + len, uf, false),
  };
  const have_mmap_prepare = f?.f_op.mmap_prepare !== undefined;

  let error = yield* __mmap_setup(m, map);
  if (!error) {
    if (have_mmap_prepare) error = call_mmap_prepare(m, map);
    let vma: vm_area_struct | null = null;
    if (!error) {
      // Upstream's stores overwrite the ranges of the replaced vmas; here they have to leave the array first.
      vma_erase(mm, map.vms.detached);
      if (map.prev !== null || map.next !== null) {
        const vmg = new vma_merge_struct(mm, vmi, map.addr, map.end, map.vm_flags, map.pgoff, map.anon_pgoff);
        vmg.file = map.file;
        vmg.prev = map.prev;
        vmg.next = map.next;
        vma = yield* vma_merge_new_range(m, vmg);
      }
      if (vma === null) {
        const made = yield* __mmap_new_vma(m, map);
        if (typeof made === 'number') {
          error = made;
        } else {
          vma = made;
          if (have_mmap_prepare) {
            vma.vm_ops = map.vm_ops;
            vma.vm_private_data = map.vm_private_data;
          }
        }
      }
    }
    if (vma !== null) {
      yield* __mmap_complete(m, map, vma);
      return addr;
    }
    if (map.charged !== 0) vm_unacct_memory(m, map.charged);
  }
  if (map.file_doesnt_need_get) fput(m, map.file as file);
  if (map.vms.detached[0] !== undefined && !mm.mm_mt.includes(map.vms.detached[0])) {
    BUG_ON(map.vms.clear_ptes, 'mm/vma.c: vms_abort_munmap_vmas() of vmas that left the mm unemptied');
    yield* vms_complete_munmap_vmas(m, map.vms);
  } else {
    yield* vms_abort_munmap_vmas(m, map.vms);
  }
  return error;
}

/**
 * Maps the page-aligned [addr, addr+len) in place of whatever is there. Returns the address or -errno (mm/vma.c:
 * mmap_region()).
 */
export function* mmap_region(
  m: Machine,
  f: file | null,
  addr: number,
  len: number,
  vm_flags: number,
  pgoff: number,
  uf: userfaultfd_unmap_ctxs | null,
): Gen<number> {
  const mm = m.current.mm as mm_struct;
  mmap_assert_write_locked(mm);
  if (map_deny_write_exec(mm, vm_flags, vm_flags)) return -EACCES;
  let writable_file_mapping = false;
  if (f !== null && f.f_mapping !== null && (vm_flags & (VM_SHARED | VM_MAYWRITE)) === (VM_SHARED | VM_MAYWRITE)) {
    const error = mapping_map_writable(f.f_mapping);
    if (error) return error;
    writable_file_mapping = true;
  }
  const ret = yield* __mmap_region(m, f, addr, len, vm_flags, pgoff, uf);
  if (writable_file_mapping && f !== null && f.f_mapping !== null) mapping_unmap_writable(f.f_mapping);
  return ret;
}

/**
 * Extends the heap by [addr, addr+len); `vma` is the one before it or null. Returns 0 or -ENOMEM (mm/vma.c:
 * do_brk_flags()).
 */
export function* do_brk_flags(
  m: Machine,
  vmi: vma_iterator,
  vma: vm_area_struct | null,
  addr: number,
  len: number,
  vm_flags: number,
): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const pgoff = addr / PAGE_SIZE;
  const pages = len / PAGE_SIZE;
  vm_flags |= VM_DATA_DEFAULT_FLAGS | VM_ACCOUNT | mm.def_flags;
  if (mm.mm_mt.length > sysctl_max_map_count) return -ENOMEM;
  if (security_vm_enough_memory_mm(m, mm, pages)) return -ENOMEM;
  let merged: vm_area_struct | null = null;
  if (vma !== null && vma.vm_end === addr) {
    const vmg = new vma_merge_struct(mm, vmi, addr, addr + len, vm_flags, pgoff, pgoff);
    vmg.prev = vma;
    vmg.just_expand = true;
    merged = yield* vma_merge_new_range(m, vmg);
    if (merged === null && vmg.state === VMA_MERGE_ERROR_NOMEM) {
      vm_unacct_memory(m, pages);
      return -ENOMEM;
    }
  }
  if (merged === null) {
    const made = vm_area_alloc(m, mm);
    made.vm_ops = null;
    vma_set_range(made, addr, addr + len, pgoff, pgoff);
    made.vm_flags = vm_flags;
    made.vm_page_prot = vm_get_page_prot(vm_flags);
    yield* vma_start_write(m, made);
    vma_iter_store_new(vmi, made);
  }
  mm.total_vm += pages;
  mm.data_vm += pages;
  if (vm_flags & VM_LOCKED) mm.locked_vm += pages;
  return 0;
}

/**
 * Charges the growth of a stack to `size` bytes by `grow` pages. Returns 0 or -ENOMEM (mm/vma.c: acct_stack_growth()).
 * Leaves out the limits of address space and locked memory.
 */
function acct_stack_growth(m: Machine, vma: vm_area_struct, size: number, grow: number): number {
  if (size > STACK_LIMIT) return -ENOMEM;
  return security_vm_enough_memory_mm(m, vma.vm_mm, grow) !== 0 ? -ENOMEM : 0;
}

/**
 * Extends a stack down to the address, with the mmap_lock held for writing. Returns 0 or -errno (mm/vma.c:
 * expand_downwards()).
 */
export function* expand_downwards(m: Machine, vma: vm_area_struct, addr: number): Gen<number> {
  const mm = vma.vm_mm;
  if ((vma.vm_flags & VM_GROWSDOWN) === 0) return -EFAULT;
  mmap_assert_write_locked(mm);
  const address = PAGE_ALIGN_DOWN(addr);
  if (address < mmap_min_addr) return -EPERM;
  const prev = vma_prev(new vma_iterator(mm, vma.vm_start));
  if (
    prev !== null &&
    (prev.vm_flags & VM_GROWSDOWN) === 0 &&
    vma_is_accessible(prev) &&
    address - prev.vm_end < stack_guard_gap
  )
    return -ENOMEM;
  if (yield* anon_vma_prepare(m, vma)) return -ENOMEM;
  yield* vma_start_write(m, vma);
  const av = vma.anon_vma as anon_vma;
  yield* anon_vma_lock_write(m, av);
  let error = 0;
  if (address < vma.vm_start) {
    const grow = (vma.vm_start - address) / PAGE_SIZE;
    error = grow <= vma.vm_pgoff ? acct_stack_growth(m, vma, vma.vm_end - address, grow) : -ENOMEM;
    if (error === 0) {
      if (vma.vm_flags & VM_LOCKED) mm.locked_vm += grow;
      vm_stat_account(mm, vma.vm_flags, grow);
      vma.vm_start = address;
      vma.vm_pgoff -= grow;
      vma.vm_anon_pgoff -= grow;
    }
  }
  anon_vma_unlock_write(m, av);
  return error;
}
