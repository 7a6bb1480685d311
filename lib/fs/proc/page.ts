// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { PAGE_SNAPSHOT_DEVICE_PRIVATE } from '../../mm/device_private.ts';
import { is_huge_zero_pfn } from '../../mm/huge_memory/sysfs.ts';
import { is_zero_pfn } from '../../mm/memory/fault.ts';
import {
  folio_test_head,
  folio_test_large_rmappable,
  page_flags,
  PageHWPoison,
  test_flags,
} from '../../mm/page-flags.ts';
import {
  folio_test_anon,
  folio_test_hugetlb,
  folio_test_large,
  page_folio,
  pfn_to_page,
  PGTY_offline,
  PGTY_table,
  ZONE_DEVICE,
} from '../../mm/page.ts';
import { PAGES_PER_SECTION } from '../../mm/physmem.ts';
import { folio_mapped, folio_precise_page_mapcount } from '../../mm/rmap/rmap.ts';
import type { file_operations } from '../fs.ts';
import {
  KPF_ANON,
  KPF_BUDDY,
  KPF_COMPOUND_HEAD,
  KPF_COMPOUND_TAIL,
  KPF_HUGE,
  KPF_HWPOISON,
  KPF_IDLE,
  KPF_MMAP,
  KPF_NOPAGE,
  KPF_OFFLINE,
  KPF_PGTABLE,
  KPF_THP,
  KPF_ZERO_PAGE,
  PAGE_SNAPSHOT_PG_BUDDY,
  PAGE_SNAPSHOT_PG_IDLE,
  snapshot_page,
} from '../../mm/util.ts';

/**
 * Returns the page's KPF_* bits as an exact number (fs/proc/page.c: stable_page_flags()). Leaves out KSM, slab, and
 * flags of file systems and architectures.
 */
export function stable_page_flags(m: Machine, page: number): number {
  if (page === 0) return KPF_NOPAGE;
  const ps = snapshot_page(m, page);
  const folio = page_folio(m, page);
  let u = 0;
  if (folio_mapped(m, folio)) u += KPF_MMAP;
  if (folio_test_anon(m, folio)) u += KPF_ANON;
  if (ps.idx !== 0) u += KPF_COMPOUND_TAIL;
  else if (folio_test_head(m, folio)) u += KPF_COMPOUND_HEAD;
  const has_pfn = (ps.flags & PAGE_SNAPSHOT_DEVICE_PRIVATE) === 0;
  if (folio_test_hugetlb(m, folio)) u += KPF_HUGE;
  else if (folio_test_large(m, folio) && folio_test_large_rmappable(m, folio)) u += KPF_THP;
  else if (has_pfn && is_huge_zero_pfn(m, ps.pfn)) u += KPF_ZERO_PAGE + KPF_THP;
  else if (has_pfn && is_zero_pfn(m, ps.pfn)) u += KPF_ZERO_PAGE;
  if (ps.flags & PAGE_SNAPSHOT_PG_BUDDY) u += KPF_BUDDY;
  if (ps.flags & PAGE_SNAPSHOT_PG_IDLE) u += KPF_IDLE;
  if (m.page.page_type[folio] === PGTY_offline) u += KPF_OFFLINE;
  if (m.page.page_type[folio] === PGTY_table) u += KPF_PGTABLE;
  for (const flag of page_flags) if (flag.kpf !== undefined && test_flags(m, folio, flag.mask)) u += 2 ** flag.kpf;
  if (PageHWPoison(m, page)) u += KPF_HWPOISON;
  return u;
}

/** Bytes of an entry (fs/proc/page.c: KPMSIZE). */
const KPMSIZE = 8;

/** fs/proc/page.c: get_kpage_count() */
function get_kpage_count(m: Machine, page: number): number {
  return folio_precise_page_mapcount(m, page_folio(m, page), page);
}

/** Returns the end of the pfns that the files have (fs/proc/page.c: get_max_dump_pfn()). */
function get_max_dump_pfn(m: Machine): number {
  const end = Math.max(...m.zone.spans.map((s) => s.end));
  return Math.ceil(end / PAGES_PER_SECTION) * PAGES_PER_SECTION;
}

/**
 * Returns the entry of a pfn, 0 for one that is not online memory (include/linux/memory_hotplug.h:
 * pfn_to_online_page()).
 */
function entry_of(m: Machine, pfn: number, info: (m: Machine, page: number) => number): number {
  if (!m.zone.spans.some((s) => pfn >= s.start && pfn < s.untouched)) return 0;
  const page = pfn_to_page(m, pfn);
  return m.page.zone[page] === ZONE_DEVICE ? 0 : info(m, page);
}

/** Reads one entry a pfn. Returns bytes or -errno (fs/proc/page.c: kpage_read()). */
function* kpage_read(
  m: Machine,
  buf: number,
  count: number,
  pos: number,
  info: (m: Machine, page: number) => number,
): Gen<number> {
  if (pos % KPMSIZE !== 0 || count % KPMSIZE !== 0) return -EINVAL;
  const end = get_max_dump_pfn(m) * KPMSIZE;
  if (pos >= end) return 0;
  const n = Math.min(count, end - pos) / KPMSIZE;
  const entries = new BigUint64Array(n);
  for (let i = 0; i < n; i++) entries[i] = BigInt(entry_of(m, pos / KPMSIZE + i, info));
  const bytes = n * KPMSIZE;
  return (yield* copy_to_user(m, buf, new Uint8Array(entries.buffer), bytes)) !== 0 ? -EFAULT : bytes;
}

/** Operations of /proc/kpagecount: how often each page is mapped (fs/proc/page.c: kpagecount_read()). */
export const proc_kpagecount_operations: file_operations = {
  read: (m, _f, buf, count, pos) => kpage_read(m, buf, count, pos, get_kpage_count),
};

/** Operations of /proc/kpageflags: the flags of each page (fs/proc/page.c: kpageflags_read()). */
export const proc_kpageflags_operations: file_operations = {
  read: (m, _f, buf, count, pos) => kpage_read(m, buf, count, pos, stable_page_flags),
};
