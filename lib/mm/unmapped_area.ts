// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { file } from '../fs/fs.ts';
import { EINVAL, ENOMEM } from '../errno.ts';
import { hstate_file, huge_page_size, is_file_hugepages } from './hugetlb/pool.ts';
import { VM_GROWSDOWN, type mm_struct, type vm_area_struct } from './mm_types.ts';
import { ALIGN_DOWN, PAGE_ALIGN, PAGE_ALIGN_DOWN, PMD_SIZE, TASK_SIZE } from '../arch/x86/mm/pgtable/pgtable.ts';
import { shmem_get_unmapped_area } from './shmem.ts';
import { find_vma } from './vma/vma.ts';

const MAP_SHARED = 0x01;
const MAP_FIXED = 0x10;
const MAP_32BIT = 0x40;
const MAP_ABOVE4G = 0x80;

/** Lowest address that may be mapped without privilege (/proc/sys/vm/mmap_min_addr). */
export const mmap_min_addr = 65536;
/** Bytes kept free below a stack (upstream: mm/mmap.c). */
export const stack_guard_gap = 256 * 4096;
/** Where bottom-up searches start (arch/x86/include/asm/processor.h: TASK_UNMAPPED_BASE). */
const TASK_UNMAPPED_BASE = PAGE_ALIGN(Math.floor(TASK_SIZE / 3));

/** A search for free addresses: start congruent to align_offset modulo `align` (include/linux/mm.h: struct vm_unmapped_area_info). */
interface vm_unmapped_area_info {
  readonly topdown: boolean;
  readonly length: number;
  readonly low_limit: number;
  readonly high_limit: number;
  /** a power of two; upstream's align_mask plus 1 */
  readonly align: number;
  readonly align_offset: number;
}

/** First address that a mapping below the vma must not reach (include/linux/mm.h: vm_start_gap()). */
export function vm_start_gap(vma: vm_area_struct): number {
  return vma.vm_flags & VM_GROWSDOWN ? Math.max(0, vma.vm_start - stack_guard_gap) : vma.vm_start;
}

function mod(x: number, a: number): number {
  return ((x % a) + a) % a;
}

function aligned_up(addr: number, info: vm_unmapped_area_info): number {
  return addr + mod(info.align_offset - addr, info.align);
}

function aligned_down(addr: number, info: vm_unmapped_area_info): number {
  return addr - mod(addr - info.align_offset, info.align);
}

/** The lowest fitting gap, or -ENOMEM (mm/vma.c: unmapped_area()). */
function unmapped_area(mm: mm_struct, info: vm_unmapped_area_info): number {
  const length = info.length + info.align - 1;
  const low = Math.max(info.low_limit, mmap_min_addr);
  const vmas = mm.mm_mt;
  for (let i = 0; i <= vmas.length; i++) {
    const start = Math.max(low, i === 0 ? 0 : (vmas[i - 1] as vm_area_struct).vm_end);
    const next = vmas[i];
    const end = Math.min(info.high_limit, next === undefined ? Infinity : next.vm_start);
    if (end - start < length) continue;
    const gap = aligned_up(start, info);
    if (next !== undefined && next.vm_flags & VM_GROWSDOWN && vm_start_gap(next) < gap + length - 1) continue;
    return gap;
  }
  return -ENOMEM;
}

/** The highest fitting gap, or -ENOMEM (mm/vma.c: unmapped_area_topdown()). */
function unmapped_area_topdown(mm: mm_struct, info: vm_unmapped_area_info): number {
  const length = info.length + info.align - 1;
  const low = Math.max(info.low_limit, mmap_min_addr);
  const vmas = mm.mm_mt;
  for (let i = vmas.length; i >= 0; i--) {
    const start = Math.max(low, i === 0 ? 0 : (vmas[i - 1] as vm_area_struct).vm_end);
    const next = vmas[i];
    const end = Math.min(info.high_limit, next === undefined ? Infinity : vm_start_gap(next));
    if (end - start < length) continue;
    return aligned_down(end - info.length, info);
  }
  return -ENOMEM;
}

/** Finds a gap as described (mm/mmap.c: vm_unmapped_area()). */
function vm_unmapped_area(mm: mm_struct, info: vm_unmapped_area_info): number {
  return info.topdown ? unmapped_area_topdown(mm, info) : unmapped_area(mm, info);
}

function file_align(m: Machine, filp: file | null): number {
  return filp !== null && is_file_hugepages(filp) ? huge_page_size(hstate_file(m, filp)) : 1;
}

/** Bottom-up choice of an address (arch/x86/kernel/sys_x86_64.c: arch_get_unmapped_area()). */
function arch_get_unmapped_area(m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number): number {
  const mm = m.current.mm as mm_struct;
  if (flags & MAP_FIXED) return addr;
  const begin = flags & MAP_32BIT ? 0x40000000 : TASK_UNMAPPED_BASE;
  const end = flags & MAP_32BIT ? 0x80000000 : TASK_SIZE;
  if (len > end) return -ENOMEM;
  if (addr !== 0) {
    addr = PAGE_ALIGN(addr);
    const vma = find_vma(mm, addr);
    if (end - len >= addr && (vma === null || addr + len <= vm_start_gap(vma))) return addr;
  }
  const align = file_align(m, filp);
  return vm_unmapped_area(mm, {
    topdown: false, length: len, low_limit: begin, high_limit: end, align, align_offset: align > 1 ? 0 : pgoff * 4096,
  });
}

/** Top-down choice of an address, bottom-up where that fails (arch/x86/kernel/sys_x86_64.c: arch_get_unmapped_area_topdown()). */
function arch_get_unmapped_area_topdown(m: Machine, filp: file | null, addr0: number, len: number, pgoff: number, flags: number): number {
  const mm = m.current.mm as mm_struct;
  let addr = addr0;
  if (len > TASK_SIZE) return -ENOMEM;
  if (flags & MAP_FIXED) return addr;
  if ((flags & MAP_32BIT) === 0) {
    if (addr !== 0) {
      addr = PAGE_ALIGN_DOWN(addr);
      if (TASK_SIZE - len >= addr) {
        const vma = find_vma(mm, addr);
        if (vma === null || addr + len <= vm_start_gap(vma)) return addr;
      }
    }
    const align = file_align(m, filp);
    addr = vm_unmapped_area(mm, {
      topdown: true, length: len, low_limit: flags & MAP_ABOVE4G ? 2 ** 32 : 4096, high_limit: mm.mmap_base, align,
      align_offset: align > 1 ? 0 : pgoff * 4096,
    });
    if (addr >= 0) return addr;
  }
  return arch_get_unmapped_area(m, filp, addr0, len, pgoff, flags);
}

/** A free range of the current process by the architecture's rules; an address or -errno (mm/mmap.c: mm_get_unmapped_area_vmaflags()). */
export function mm_get_unmapped_area_vmaflags(
  m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number, _vm_flags: number,
): number {
  return arch_get_unmapped_area_topdown(m, filp, addr, len, pgoff, flags);
}

/** mm_get_unmapped_area_vmaflags() without flags (mm/mmap.c: mm_get_unmapped_area()). */
export function mm_get_unmapped_area(m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number): number {
  return mm_get_unmapped_area_vmaflags(m, filp, addr, len, pgoff, flags, 0);
}

/** A range whose huge pages line up with offset `off`, or 0 (mm/huge_memory.c: __thp_get_unmapped_area()). */
function __thp_get_unmapped_area(
  m: Machine, filp: file | null, addr: number, len: number, off: number, flags: number, size: number, vm_flags: number,
): number {
  const off_end = off + len;
  const off_align = ALIGN_DOWN(off + size - 1, size);
  if (off_end <= off_align || off_end - off_align < size) return 0;
  const ret = mm_get_unmapped_area_vmaflags(m, filp, addr, len + size, Math.floor(off / 4096), flags, vm_flags);
  if (ret < 0) return 0;
  if (ret === addr) return addr;
  const off_sub = mod(off - ret, size);
  return off_sub === 0 ? ret + size : ret + off_sub;
}

/** A free range, aligned for huge pages if it can be (mm/huge_memory.c: thp_get_unmapped_area_vmaflags()). */
export function thp_get_unmapped_area_vmaflags(
  m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number, vm_flags: number,
): number {
  const ret = __thp_get_unmapped_area(m, filp, addr, len, pgoff * 4096, flags, PMD_SIZE, vm_flags);
  return ret !== 0 ? ret : mm_get_unmapped_area_vmaflags(m, filp, addr, len, pgoff, flags, vm_flags);
}

/** thp_get_unmapped_area_vmaflags() without flags (mm/huge_memory.c: thp_get_unmapped_area()). */
export function thp_get_unmapped_area(m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number): number {
  return thp_get_unmapped_area_vmaflags(m, filp, addr, len, pgoff, flags, 0);
}

/** Where a mapping goes: `addr` itself with MAP_FIXED, else a choice of the file's or the default one; an address or -errno (mm/mmap.c: __get_unmapped_area()). */
export function __get_unmapped_area(
  m: Machine, file: file | null, addr: number, len: number, pgoff: number, flags: number, vm_flags: number,
): number {
  if (len > TASK_SIZE) return -ENOMEM;
  if (file === null) pgoff = 0;
  if (file?.f_op.get_unmapped_area !== undefined) {
    addr = file.f_op.get_unmapped_area(m, file, addr, len, pgoff, flags);
  } else if (file === null && flags & MAP_SHARED) {
    addr = shmem_get_unmapped_area(m, null, addr, len, pgoff, flags);
  } else if (file === null && addr === 0 && len % PMD_SIZE === 0) {
    addr = thp_get_unmapped_area_vmaflags(m, file, addr, len, pgoff, flags, vm_flags);
  } else {
    addr = mm_get_unmapped_area_vmaflags(m, file, addr, len, pgoff, flags, vm_flags);
  }
  if (addr < 0) return addr;
  if (addr > TASK_SIZE - len) return -ENOMEM;
  if (addr % 4096 !== 0) return -EINVAL;
  return addr;
}

/** __get_unmapped_area() without flags (include/linux/mm.h: get_unmapped_area()). */
export function get_unmapped_area(m: Machine, file: file | null, addr: number, len: number, pgoff: number, flags: number): number {
  return __get_unmapped_area(m, file, addr, len, pgoff, flags, 0);
}
