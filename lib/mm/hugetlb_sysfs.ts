// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EINVAL, ERANGE } from '../errno.ts';
import { vfs_register_text } from '../fs/namei.ts';
import type { Gen } from '../kernel/gen.ts';
import { huge_page_size, nr_hugepages_store_common } from './hugetlb/pool.ts';

/**
 * Parses a decimal number of at most 64 bits, optionally followed by a newline; returns it or -errno
 * (include/linux/kstrtox.h: kstrtoul()).
 */
export function kstrtoul(buf: string): number {
  if (!/^\+?\d+\n?$/.test(buf)) return -EINVAL;
  const value = BigInt(buf.trim());
  if (value > 0xffffffffffffffffn) return -ERANGE;
  return Number(value);
}

/**
 * Registers /sys/kernel/mm/hugepages/hugepages-NkB for each pool, the default one first (mm/hugetlb_sysfs.c:
 * hugetlb_sysfs_init()).
 */
export function hugetlb_sysfs_init(m: Machine): void {
  for (const h of m.hugetlb.hstates) {
    const dir = `/sys/kernel/mm/hugepages/hugepages-${huge_page_size(h) / 1024}kB`;
    const nr = {
      show: () => `${h.nr_huge_pages}\n`,
      store: (mm: Machine, buf: string): number | Gen<number> => {
        const count = kstrtoul(buf);
        return count < 0 ? count : nr_hugepages_store_common(mm, h, count);
      },
    };
    vfs_register_text(m, `${dir}/nr_hugepages`, 0o644, nr);
    vfs_register_text(m, `${dir}/nr_hugepages_mempolicy`, 0o644, nr);
    vfs_register_text(m, `${dir}/nr_overcommit_hugepages`, 0o644, {
      show: () => `${h.nr_overcommit_huge_pages}\n`,
      store: (_m, buf) => {
        const count = kstrtoul(buf);
        if (count < 0) return count;
        h.nr_overcommit_huge_pages = count;
        return 0;
      },
    });
    vfs_register_text(m, `${dir}/free_hugepages`, 0o444, { show: () => `${h.free_huge_pages}\n` });
    vfs_register_text(m, `${dir}/resv_hugepages`, 0o444, { show: () => `${h.resv_huge_pages}\n` });
    vfs_register_text(m, `${dir}/surplus_hugepages`, 0o444, { show: () => `${h.surplus_huge_pages}\n` });
  }
}
