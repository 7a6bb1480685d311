// SPDX-License-Identifier: GPL-2.0-only

import { ALIGN_DOWN, PMD_SIZE } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import type { file } from '../../fs/fs.ts';
import { mm_get_unmapped_area_vmaflags } from '../mmap/unmapped_area.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { mod } from '../vma/unmapped_area.ts';

/**
 * Returns a free range whose huge pages are aligned with file offset `off`, or 0 (mm/huge_memory.c:
 * __thp_get_unmapped_area()).
 */
function __thp_get_unmapped_area(
  m: Machine,
  filp: file | null,
  addr: number,
  len: number,
  off: number,
  flags: number,
  size: number,
  vm_flags: number,
): number {
  const off_end = off + len;
  const off_align = ALIGN_DOWN(off + size - 1, size);
  if (off_end <= off_align || off_end - off_align < size) return 0;
  const ret = mm_get_unmapped_area_vmaflags(m, filp, addr, len + size, Math.floor(off / PAGE_SIZE), flags, vm_flags);
  if (ret < 0) return 0;
  if (ret === addr) return addr;
  const off_sub = mod(off - ret, size);
  return off_sub === 0 ? ret + size : ret + off_sub;
}

/** Returns a free range, aligned to huge pages if possible (mm/huge_memory.c: thp_get_unmapped_area_vmaflags()). */
export function thp_get_unmapped_area_vmaflags(
  m: Machine,
  filp: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
  vm_flags: number,
): number {
  const ret = __thp_get_unmapped_area(m, filp, addr, len, pgoff * PAGE_SIZE, flags, PMD_SIZE, vm_flags);
  return ret !== 0 ? ret : mm_get_unmapped_area_vmaflags(m, filp, addr, len, pgoff, flags, vm_flags);
}

/** Returns a free range for a mapping without vm_flags (mm/huge_memory.c: thp_get_unmapped_area()). */
export function thp_get_unmapped_area(
  m: Machine,
  filp: file | null,
  addr: number,
  len: number,
  pgoff: number,
  flags: number,
): number {
  return thp_get_unmapped_area_vmaflags(m, filp, addr, len, pgoff, flags, 0);
}
