// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import { EINVAL, ENOMEM } from '../../../errno.ts';
import type { file } from '../../../fs/fs.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { hstate_file, huge_page_size, is_file_hugepages } from '../../../mm/hugetlb/pool.ts';
import type { mm_struct } from '../../../mm/mm_types.ts';
import { find_vma } from '../../../mm/mmap/find_vma.ts';
import { ksys_mmap_pgoff } from '../../../mm/mmap/mmap.ts';
import {
  MAP_32BIT,
  MAP_ABOVE4G,
  MAP_FIXED,
  TASK_UNMAPPED_BASE,
  vm_start_gap,
  vm_unmapped_area,
} from '../../../mm/mmap/unmapped_area.ts';
import { PAGE_SIZE } from '../../../mm/physmem.ts';
import { PAGE_ALIGN, PAGE_ALIGN_DOWN, TASK_SIZE } from '../mm/pgtable/pgtable.ts';

/**
 * Returns the alignment of a mapping of the file in bytes. NON-KERNEL: the part of upstream's get_align_mask() that
 * concerns hugetlbfs.
 */
function file_align(m: Machine, filp: file | null): number {
  return filp !== null && is_file_hugepages(filp) ? huge_page_size(hstate_file(m, filp)) : 1;
}

/** Returns a free address, searched bottom-up (arch/x86/kernel/sys_x86_64.c: arch_get_unmapped_area()). */
function arch_get_unmapped_area(
  m: Machine,
  filp: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
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
    topdown: false,
    length: len,
    low_limit: begin,
    high_limit: end,
    align,
    align_offset: align > 1 ? 0 : pgoff * PAGE_SIZE,
  });
}

/**
 * Returns a free address, searched top-down and, if that fails, bottom-up
 * (arch/x86/kernel/sys_x86_64.c: arch_get_unmapped_area_topdown()).
 */
export function arch_get_unmapped_area_topdown(
  m: Machine,
  filp: file | null,
  addr0: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
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
      topdown: true,
      length: len,
      low_limit: flags & MAP_ABOVE4G ? 2 ** 32 : PAGE_SIZE,
      high_limit: mm.mmap_base,
      align,
      align_offset: align > 1 ? 0 : pgoff * PAGE_SIZE,
    });
    if (addr >= 0) return addr;
  }
  return arch_get_unmapped_area(m, filp, addr0, len, pgoff, flags);
}

/** mmap(2); `off` is in bytes. Returns the address or a negative errno (arch/x86/kernel/sys_x86_64.c: mmap()). */
export function* sys_mmap(
  m: Machine,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  fd: number,
  off: number,
): Gen<number> {
  if (off % PAGE_SIZE !== 0) return -EINVAL;
  return yield* ksys_mmap_pgoff(m, addr, len, prot, flags, fd, off / PAGE_SIZE);
}
