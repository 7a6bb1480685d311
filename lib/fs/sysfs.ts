// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { hugetlb_sysfs_init, kstrtoul } from '../mm/hugetlb_sysfs.ts';
import { HPAGE_PMD_ORDER, HPAGE_PMD_SIZE } from '../arch/x86/mm/pgtable/pgtable.ts';
import { shmem_enabled_store } from '../mm/shmem.ts';
import {
  MTHP_STAT_NR_ANON, TRANSPARENT_HUGEPAGE_DEFRAG_KHUGEPAGED_FLAG, TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG, anon_enabled_show,
  anon_enabled_store, defrag_show, defrag_store, enabled_show, enabled_store, shmem_enabled_show, single_hugepage_flag_show,
  single_hugepage_flag_store, sum_mthp_stat, type thp_state,
} from '../mm/huge_memory/sysfs.ts';
import { EINVAL } from '../errno.ts';
import { vfs_register_text } from './namei.ts';

const THP = '/sys/kernel/mm/transparent_hugepage';

type khugepaged_setting =
  | 'khugepaged_max_ptes_none' | 'khugepaged_max_ptes_swap' | 'khugepaged_max_ptes_shared' | 'khugepaged_pages_to_scan'
  | 'khugepaged_scan_sleep_millisecs' | 'khugepaged_alloc_sleep_millisecs';

function khugepaged_attr(m: Machine, name: string, key: khugepaged_setting & keyof thp_state, max: number, min = 0): void {
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

/** Registers what /sys/kernel/mm offers for huge pages (mm/huge_memory.c: hugepage_init_sysfs()). */
export function sysfs_init(m: Machine): void {
  vfs_register_text(m, `${THP}/enabled`, 0o644, { show: enabled_show, store: enabled_store });
  vfs_register_text(m, `${THP}/defrag`, 0o644, { show: defrag_show, store: defrag_store });
  for (const [name, flag] of [
    ['use_zero_page', TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG], ['khugepaged/defrag', TRANSPARENT_HUGEPAGE_DEFRAG_KHUGEPAGED_FLAG],
  ] as const) {
    vfs_register_text(m, `${THP}/${name}`, 0o644, {
      show: (mm) => single_hugepage_flag_show(mm, flag),
      store: (mm, buf) => single_hugepage_flag_store(mm, buf, flag),
    });
  }
  vfs_register_text(m, `${THP}/hpage_pmd_size`, 0o444, { show: () => `${HPAGE_PMD_SIZE}\n` });
  vfs_register_text(m, `${THP}/shmem_enabled`, 0o644, { show: shmem_enabled_show, store: shmem_enabled_store });
  for (let order = 2; order <= HPAGE_PMD_ORDER; order++) {
    vfs_register_text(m, `${THP}/hugepages-${4 << order}kB/enabled`, 0o644, {
      show: (mm) => anon_enabled_show(mm, order),
      store: (mm, buf) => anon_enabled_store(mm, order, buf),
    });
  }
  khugepaged_attr(m, 'max_ptes_none', 'khugepaged_max_ptes_none', 511);
  khugepaged_attr(m, 'max_ptes_swap', 'khugepaged_max_ptes_swap', 511);
  khugepaged_attr(m, 'max_ptes_shared', 'khugepaged_max_ptes_shared', 511);
  khugepaged_attr(m, 'pages_to_scan', 'khugepaged_pages_to_scan', 0xffffffff, 1);
  khugepaged_attr(m, 'scan_sleep_millisecs', 'khugepaged_scan_sleep_millisecs', 0xffffffff);
  khugepaged_attr(m, 'alloc_sleep_millisecs', 'khugepaged_alloc_sleep_millisecs', 0xffffffff);
  for (let order = 2; order <= HPAGE_PMD_ORDER; order++) {
    vfs_register_text(m, `${THP}/hugepages-${4 << order}kB/stats/nr_anon`, 0o444, {
      show: (mm) => `${sum_mthp_stat(mm, order, MTHP_STAT_NR_ANON)}\n`,
    });
  }
  hugetlb_sysfs_init(m);
}
