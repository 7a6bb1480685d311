// SPDX-License-Identifier: GPL-2.0-only

import { arch_get_unmapped_area_topdown } from '../../arch/x86/kernel/sys_x86_64.ts';
import { PAGE_ALIGN, PMD_SIZE, TASK_SIZE } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EINVAL, ENOMEM } from '../../errno.ts';
import type { file } from '../../fs/fs.ts';
import { thp_get_unmapped_area_vmaflags } from '../huge_memory/unmapped_area.ts';
import { type mm_struct, type vm_area_struct, VM_GROWSDOWN } from '../mm_types.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { shmem_get_unmapped_area } from '../shmem.ts';
import { unmapped_area, unmapped_area_topdown, type vm_unmapped_area_info } from '../vma/unmapped_area.ts';

const MAP_SHARED = 0x01;
export const MAP_FIXED = 0x10;
export const MAP_32BIT = 0x40;
export const MAP_ABOVE4G = 0x80;

/** lowest address that an unprivileged process may map (/proc/sys/vm/mmap_min_addr) */
export const mmap_min_addr = 65536;
/** gap below a growing stack, in bytes (mm/mmap.c: stack_guard_gap) */
export const stack_guard_gap = 256 * PAGE_SIZE;
/** start of bottom-up searches (arch/x86/include/asm/processor.h: TASK_UNMAPPED_BASE) */
export const TASK_UNMAPPED_BASE = PAGE_ALIGN(Math.floor(TASK_SIZE / 3));

/** Returns the vma's start including its stack guard gap (include/linux/mm.h: vm_start_gap()). */
export function vm_start_gap(vma: vm_area_struct): number {
  return vma.vm_flags & VM_GROWSDOWN ? Math.max(0, vma.vm_start - stack_guard_gap) : vma.vm_start;
}

/** Returns the start of a suitable gap, or -ENOMEM (mm/mmap.c: vm_unmapped_area()). */
export function vm_unmapped_area(mm: mm_struct, info: vm_unmapped_area_info): number {
  return info.topdown ? unmapped_area_topdown(mm, info) : unmapped_area(mm, info);
}

/**
 * Returns the start of a free range chosen by the architecture, or -errno (mm/mmap.c: mm_get_unmapped_area_vmaflags()).
 */
export function mm_get_unmapped_area_vmaflags(
  m: Machine,
  filp: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
  _vm_flags: number,
): number {
  return arch_get_unmapped_area_topdown(m, filp, addr, len, pgoff, flags);
}

/** mm_get_unmapped_area_vmaflags() without vm_flags (mm/mmap.c: mm_get_unmapped_area()). */
export function mm_get_unmapped_area(
  m: Machine,
  filp: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  return mm_get_unmapped_area_vmaflags(m, filp, addr, len, pgoff, flags, 0);
}

/**
 * Returns the address of a new mapping or -errno: `addr` with MAP_FIXED, else chosen by the file's get_unmapped_area or
 * the default one (mm/mmap.c: __get_unmapped_area()).
 */
export function __get_unmapped_area(
  m: Machine,
  file: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
  vm_flags: number,
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
  if (addr % PAGE_SIZE !== 0) return -EINVAL;
  return addr;
}

/** __get_unmapped_area() without vm_flags (include/linux/mm.h: get_unmapped_area()). */
export function get_unmapped_area(
  m: Machine,
  file: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  return __get_unmapped_area(m, file, addr, len, pgoff, flags, 0);
}
