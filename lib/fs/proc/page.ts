// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../boot.ts';
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
  PGTY_offline,
  PGTY_table,
} from '../../mm/page.ts';
import { folio_mapped } from '../../mm/rmap/rmap.ts';
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
