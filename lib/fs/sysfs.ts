// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EINVAL } from '../errno.ts';
import type { thp_state } from '../mm/huge_memory/sysfs.ts';
import { kstrtoul } from '../mm/hugetlb_sysfs.ts';
import { vfs_register_text } from './namei.ts';

export const THP = '/sys/kernel/mm/transparent_hugepage';

type khugepaged_setting =
  | 'khugepaged_max_ptes_none'
  | 'khugepaged_max_ptes_swap'
  | 'khugepaged_max_ptes_shared'
  | 'khugepaged_pages_to_scan'
  | 'khugepaged_scan_sleep_millisecs'
  | 'khugepaged_alloc_sleep_millisecs';

/**
 * Registers a numeric attribute of transparent_hugepage/khugepaged with its valid range. NON-KERNEL (mm/khugepaged.c:
 * khugepaged_attr).
 */
export function khugepaged_attr(
  m: Machine,
  name: string,
  key: khugepaged_setting & keyof thp_state,
  max: number,
  min = 0,
): void {
  vfs_register_text(m, `${THP}/khugepaged/${name}`, 0o644, {
    show: (mm) => `${mm.thp[key]}\n`,
    store: (mm, buf) => {
      const value = kstrtoul(buf);
      if (value < min || value > max) return -EINVAL;
      mm.thp[key] = value;
      return 0;
    },
  });
}
