// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  HPAGE_PMD_SIZE,
  PAGE_ALIGN,
  PMD_SIZE,
  pmdp_get,
  type ptdesc,
  pte_index,
  pte_none,
  pte_present,
  pte_uffd,
  ptep_get,
} from '../../../arch/x86/mm/pgtable/pgtable.ts';
import { flush_tlb_range } from '../../../arch/x86/mm/tlb.ts';
import { access_ok, copy_from_user, copy_to_user } from '../../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../../machine.ts';
import { EFAULT, EINTR, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, ESRCH } from '../../../errno.ts';
import { mmget_not_zero, mmput } from '../../../kernel/fork/mm_init.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { down_write, up_write } from '../../../kernel/locking/rwsem.ts';
import { spin_unlock } from '../../../kernel/locking/spinlock.ts';
import { cond_resched, fatal_signal_pending } from '../../../kernel/sched/core.ts';
import { pmd_trans_huge_lock } from '../../../mm/huge_memory/pmd_lock.ts';
import { split_huge_pmd } from '../../../mm/huge_memory/split_pmd.ts';
import { hstate_vma, huge_page_size } from '../../../mm/hugetlb/pool.ts';
import { huge_pte_alloc, huge_pte_index, huge_pte_lock, huge_ptep_get } from '../../../mm/hugetlb/vma.ts';
import { is_vm_hugetlb_page, type mm_struct, type vm_area_struct, VM_PFNMAP } from '../../../mm/mm_types.ts';
import { mmap_read_lock_killable, mmap_read_unlock } from '../../../mm/mmap_lock.ts';
import {
  MMU_NOTIFY_PROTECTION_VMA,
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_range,
  mmu_notifier_range_init,
} from '../../../mm/mmu_notifier.ts';
import { ACTION_AGAIN, type mm_walk, type mm_walk_ops, PGWALK_RDLOCK, walk_page_range } from '../../../mm/pagewalk.ts';
import { pte_offset_map_lock } from '../../../mm/pgtable-generic.ts';
import { PAGE_SIZE } from '../../../mm/physmem.ts';
import { uffd_wp_range } from '../../../mm/userfaultfd/ioctl.ts';
import {
  pte_swp_uffd_any,
  userfaultfd_wp,
  userfaultfd_wp_async,
  userfaultfd_wp_use_markers,
} from '../../../mm/userfaultfd/userfaultfd.ts';
import type { address_space, file } from '../../fs.ts';
import {
  PAGE_IS_WPALLOWED,
  PAGE_IS_WRITTEN,
  make_uffd_wp_huge_pte,
  make_uffd_wp_pmd,
  make_uffd_wp_pte,
  pagemap_hugetlb_category,
  pagemap_page_category,
  pagemap_thp_category,
} from './pagemap_category.ts';

/** fs/proc/task_mmu.c: PM_SCAN_CATEGORIES */
const PM_SCAN_CATEGORIES = 0x3ff;
const PM_SCAN_WP_MATCHING = 1;
const PM_SCAN_CHECK_WPASYNC = 2;
/** fs/proc/task_mmu.c: PM_SCAN_FLAGS */
const PM_SCAN_FLAGS = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC;
/** regions that are collected under one mmap_lock section (fs/proc/task_mmu.c: PAGEMAP_WALK_SIZE in pages) */
const MAX_REGIONS = PMD_SIZE / PAGE_SIZE;
const REGION_BYTES = 24;

/** Fields of the ioctl's argument, 64 bits each, in their order (include/uapi/linux/fs.h: struct pm_scan_arg). */
const ARG = {
  size: 0,
  flags: 1,
  start: 2,
  end: 3,
  walk_end: 4,
  vec: 5,
  vec_len: 6,
  max_pages: 7,
  category_inverted: 8,
  category_mask: 9,
  category_anyof_mask: 10,
  return_mask: 11,
} as const;
const ARG_BYTES = 96;

/** include/uapi/linux/fs.h: struct page_region */
interface page_region {
  start: number;
  end: number;
  categories: number;
}

/** State of a scan (fs/proc/task_mmu.c: struct pagemap_scan_private). */
class pagemap_scan_private {
  flags = 0;
  start = 0;
  end = 0;
  walk_end = 0;
  vec_len = 0;
  max_pages = Number.POSITIVE_INFINITY;
  category_inverted = 0;
  category_mask = 0;
  category_anyof_mask = 0;
  return_mask = 0;
  masks_of_interest = 0;
  cur_vma_category = 0;
  /** null without an output buffer */
  vec_buf: page_region[] | null = null;
  vec_buf_len = 0;
  vec_buf_index = 0;
  found_pages = 0;
  vec_out = 0;
}

/** Takes back the last output (fs/proc/task_mmu.c: pagemap_scan_backout_range()). */
function pagemap_scan_backout_range(p: pagemap_scan_private, addr: number, end: number): void {
  if (p.vec_buf === null) return;
  const cur = p.vec_buf[p.vec_buf_index];
  if (cur.start !== addr) cur.end = addr;
  else cur.start = cur.end = 0;
  p.found_pages -= (end - addr) / PAGE_SIZE;
}

/** fs/proc/task_mmu.c: pagemap_scan_is_interesting_page() */
function pagemap_scan_is_interesting_page(categories: number, p: pagemap_scan_private): boolean {
  const bits = categories ^ p.category_inverted;
  if ((bits & p.category_mask) !== p.category_mask) return false;
  return p.category_anyof_mask === 0 || (bits & p.category_anyof_mask) !== 0;
}

/** fs/proc/task_mmu.c: pagemap_scan_is_interesting_vma() */
function pagemap_scan_is_interesting_vma(categories: number, p: pagemap_scan_private): boolean {
  const required = p.category_mask & PAGE_IS_WPALLOWED;
  return ((categories ^ p.category_inverted) & required) === required;
}

/** fs/proc/task_mmu.c: pagemap_scan_test_walk() */
function* pagemap_scan_test_walk(
  _m: Machine,
  _start: number,
  _end: number,
  walk: mm_walk<pagemap_scan_private>,
): Gen<number> {
  const p = walk.private;
  const vma = walk.vma as vm_area_struct;
  const wp_allowed = userfaultfd_wp_async(vma) && userfaultfd_wp_use_markers(vma);
  if (!wp_allowed) {
    if (p.flags & PM_SCAN_CHECK_WPASYNC) return -EPERM;
    if (p.flags & PM_SCAN_WP_MATCHING) return 1;
  }
  if (vma.vm_flags & VM_PFNMAP) return 1;
  const category = wp_allowed ? PAGE_IS_WPALLOWED : 0;
  if (!pagemap_scan_is_interesting_vma(category, p)) return 1;
  p.cur_vma_category = category;
  return 0;
}

/** Adds a range to the buffer; false if it is full (fs/proc/task_mmu.c: pagemap_scan_push_range()). */
function pagemap_scan_push_range(categories: number, p: pagemap_scan_private, addr: number, end: number): boolean {
  const buf = p.vec_buf as page_region[];
  const cur = buf[p.vec_buf_index];
  if (addr === cur.end && categories === cur.categories) {
    cur.end = end;
    return true;
  }
  if (cur.end !== 0) {
    if (p.vec_buf_index >= p.vec_buf_len - 1) return false;
    p.vec_buf_index++;
  }
  buf[p.vec_buf_index] = { start: addr, end, categories };
  return true;
}

/** Puts out as much of [addr, at.end) as there is room for (fs/proc/task_mmu.c: pagemap_scan_output()). */
function pagemap_scan_output(categories: number, p: pagemap_scan_private, addr: number, at: { end: number }): number {
  if (p.vec_buf === null) return 0;
  let ret = 0;
  let n_pages = (at.end - addr) / PAGE_SIZE;
  const n_too_much = p.found_pages + n_pages - p.max_pages;
  if (n_too_much > 0) {
    at.end -= n_too_much * PAGE_SIZE;
    n_pages -= n_too_much;
    ret = -ENOSPC;
  }
  if (!pagemap_scan_push_range(categories & p.return_mask, p, addr, at.end)) {
    at.end = addr;
    n_pages = 0;
    ret = -ENOSPC;
  }
  p.found_pages += n_pages;
  if (ret) p.walk_end = at.end;
  return ret;
}

/** Returns -ENOENT if there is no huge pmd (fs/proc/task_mmu.c: pagemap_scan_thp_entry()). */
function* pagemap_scan_thp_entry(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  start: number,
  end: number,
  walk: mm_walk<pagemap_scan_private>,
): Gen<number> {
  const p = walk.private;
  const vma = walk.vma as vm_area_struct;
  if (!(yield* pmd_trans_huge_lock(m, pmdt, pi, vma))) return -ENOENT;
  const categories = p.cur_vma_category | pagemap_thp_category(m, p.masks_of_interest, vma, start, pmdp_get(pmdt, pi));
  let ret = 0;
  if (pagemap_scan_is_interesting_page(categories, p)) {
    const at = { end };
    ret = pagemap_scan_output(categories, p, start, at);
    if (start !== at.end && p.flags & PM_SCAN_WP_MATCHING && categories & PAGE_IS_WRITTEN) {
      if (at.end !== start + HPAGE_PMD_SIZE) {
        spin_unlock(m, pmdt.ptl);
        yield* split_huge_pmd(m, vma, pmdt, pi, start);
        pagemap_scan_backout_range(p, start, at.end);
        return -ENOENT;
      }
      make_uffd_wp_pmd(m, vma, start, pmdt, pi);
      flush_tlb_range(m, vma, start, at.end);
    }
  }
  spin_unlock(m, pmdt.ptl);
  return ret;
}

/**
 * Scans one page table. Upstream's two fast paths do what the general one does, but that the first one, for callers
 * who want no output, protects pages of all kinds (fs/proc/task_mmu.c: pagemap_scan_pmd_entry()).
 */
function* pagemap_scan_pmd_entry(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  start: number,
  end: number,
  walk: mm_walk<pagemap_scan_private>,
): Gen<number> {
  const p = walk.private;
  const vma = walk.vma as vm_area_struct;
  let ret = yield* pagemap_scan_thp_entry(m, pmdt, pi, start, end, walk);
  if (ret !== -ENOENT) return ret;
  ret = 0;
  const pt = yield* pte_offset_map_lock(m, walk.mm, pmdt, pi, start);
  if (pt === null) {
    walk.action = ACTION_AGAIN;
    return 0;
  }
  const protect = (p.flags & PM_SCAN_WP_MATCHING) !== 0;
  const all = protect && p.vec_out === 0;
  let flush_start = -1;
  let addr = start;
  for (; addr !== end; addr += PAGE_SIZE) {
    const pte = ptep_get(pt, pte_index(addr));
    const categories = p.cur_vma_category | pagemap_page_category(m, p.masks_of_interest, vma, addr, pte);
    if (all) {
      if (pte_present(pte) ? pte_uffd(pte) : pte_swp_uffd_any(pte)) continue;
    } else {
      if (!pagemap_scan_is_interesting_page(categories, p)) continue;
      const at = { end: addr + PAGE_SIZE };
      ret = pagemap_scan_output(categories, p, addr, at);
      if (at.end === addr) break;
      if (!protect || (categories & PAGE_IS_WRITTEN) === 0) continue;
    }
    make_uffd_wp_pte(m, vma, addr, pt, pte_index(addr), pte);
    if (flush_start < 0) flush_start = addr;
  }
  if (flush_start >= 0) flush_tlb_range(m, vma, flush_start, addr);
  pte_unmap_unlock(m, pt);
  yield* cond_resched(m);
  return ret;
}

/** Returns the lock of a hugetlb file's mappings. NON-KERNEL. */
function i_mmap_rwsem(vma: vm_area_struct): address_space['i_mmap_rwsem'] {
  return ((vma.vm_file as file).f_mapping as address_space).i_mmap_rwsem;
}

/** fs/proc/task_mmu.c: pagemap_scan_hugetlb_entry() */
function* pagemap_scan_hugetlb_entry(
  m: Machine,
  pt: ptdesc,
  i: number,
  _size: number,
  start: number,
  end: number,
  walk: mm_walk<pagemap_scan_private>,
): Gen<number> {
  const p = walk.private;
  const vma = walk.vma as vm_area_struct;
  const h = hstate_vma(m, vma);
  const at = { end };
  if ((p.flags & PM_SCAN_WP_MATCHING) === 0) {
    const categories = p.cur_vma_category | pagemap_hugetlb_category(m, vma, huge_ptep_get(m, walk.mm, start, pt, i));
    if (!pagemap_scan_is_interesting_page(categories, p)) return 0;
    return pagemap_scan_output(categories, p, start, at);
  }
  const sem = i_mmap_rwsem(vma);
  yield* down_write(m, sem);
  const ptl = yield* huge_pte_lock(m, h, walk.mm, pt);
  const pte = huge_ptep_get(m, walk.mm, start, pt, i);
  const categories = p.cur_vma_category | pagemap_hugetlb_category(m, vma, pte);
  let ret = 0;
  if (pagemap_scan_is_interesting_page(categories, p)) {
    ret = pagemap_scan_output(categories, p, start, at);
    if (start !== at.end && categories & PAGE_IS_WRITTEN) {
      if (at.end !== start + huge_page_size(h)) {
        pagemap_scan_backout_range(p, start, at.end);
        p.walk_end = start;
        ret = 0;
      } else {
        make_uffd_wp_huge_pte(m, vma, start, pt, i, pte);
        flush_tlb_range(m, vma, start, at.end);
      }
    }
  }
  spin_unlock(m, ptl);
  up_write(m, sem);
  return ret;
}

/** Marks missing huge pages as write-protected (fs/proc/task_mmu.c: pagemap_scan_hugetlb_hole_wp()). */
function* pagemap_scan_hugetlb_hole_wp(m: Machine, vma: vm_area_struct, start: number, end: number): Gen<number> {
  const h = hstate_vma(m, vma);
  const psize = huge_page_size(h);
  const sem = i_mmap_rwsem(vma);
  for (let addr = start - (start % psize); addr < end; addr += psize) {
    const pt = yield* huge_pte_alloc(m, vma.vm_mm, vma, addr, psize);
    if (pt === null) return -ENOMEM;
    const i = huge_pte_index(h, addr);
    yield* down_write(m, sem);
    const ptl = yield* huge_pte_lock(m, h, vma.vm_mm, pt);
    const pte = huge_ptep_get(m, vma.vm_mm, addr, pt, i);
    make_uffd_wp_huge_pte(m, vma, addr, pt, i, pte);
    if (!pte_none(pte)) flush_tlb_range(m, vma, addr, addr + psize);
    spin_unlock(m, ptl);
    up_write(m, sem);
  }
  return 0;
}

/** fs/proc/task_mmu.c: pagemap_scan_pte_hole() */
function* pagemap_scan_pte_hole(
  m: Machine,
  addr: number,
  end: number,
  _depth: number,
  walk: mm_walk<pagemap_scan_private>,
): Gen<number> {
  const p = walk.private;
  const vma = walk.vma;
  if (vma === null) return 0;
  const huge = is_vm_hugetlb_page(vma);
  const categories = p.cur_vma_category | (userfaultfd_wp(vma) && !huge ? PAGE_IS_WRITTEN : 0);
  if (!pagemap_scan_is_interesting_page(categories, p)) return 0;
  const at = { end };
  const ret = pagemap_scan_output(categories, p, addr, at);
  if (addr === at.end || (p.flags & PM_SCAN_WP_MATCHING) === 0) return ret;
  const err = huge
    ? yield* pagemap_scan_hugetlb_hole_wp(m, vma, addr, at.end)
    : yield* uffd_wp_range(m, vma, addr, at.end - addr, true);
  return err < 0 ? err : ret;
}

const pagemap_scan_ops: mm_walk_ops<pagemap_scan_private> = {
  test_walk: pagemap_scan_test_walk,
  pmd_entry: pagemap_scan_pmd_entry,
  pte_hole: pagemap_scan_pte_hole,
  hugetlb_entry: pagemap_scan_hugetlb_entry,
  walk_lock: PGWALK_RDLOCK,
};

/** Reads and checks the argument (fs/proc/task_mmu.c: pagemap_scan_get_args()). */
function* pagemap_scan_get_args(m: Machine, p: pagemap_scan_private, uarg: number): Gen<number> {
  const bytes = new Uint8Array(ARG_BYTES);
  if ((yield* copy_from_user(m, bytes, uarg, ARG_BYTES)) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const u64 = (field: number): number =>
    view.getUint32(field * 8 + 4, true) * 2 ** 32 + view.getUint32(field * 8, true);
  if (u64(ARG.size) !== ARG_BYTES) return -EINVAL;
  const masks = [ARG.flags, ARG.category_inverted, ARG.category_mask, ARG.category_anyof_mask, ARG.return_mask].map(
    u64,
  );
  if (masks.some((mask, k) => mask >= 2 ** 32 || (mask & ~(k === 0 ? PM_SCAN_FLAGS : PM_SCAN_CATEGORIES)) !== 0))
    return -EINVAL;
  [p.flags, p.category_inverted, p.category_mask, p.category_anyof_mask, p.return_mask] = masks as [
    number,
    number,
    number,
    number,
    number,
  ];
  p.start = u64(ARG.start);
  p.end = u64(ARG.end);
  p.vec_out = u64(ARG.vec);
  p.vec_len = u64(ARG.vec_len);
  if (p.start % PAGE_SIZE !== 0) return -EINVAL;
  // upstream's unsigned length of an end before the start is beyond all user addresses
  if (p.end < p.start || !access_ok(p.start, p.end - p.start)) return -EFAULT;
  if (p.vec_out === 0 && p.vec_len !== 0) return -EINVAL;
  if (p.vec_out !== 0 && !access_ok(p.vec_out, p.vec_len * REGION_BYTES)) return -EFAULT;
  p.end = PAGE_ALIGN(p.end);
  const max_pages = u64(ARG.max_pages);
  if (max_pages !== 0) p.max_pages = max_pages;
  return 0;
}

/** fs/proc/task_mmu.c: pagemap_scan_init_bounce_buffer() */
function pagemap_scan_init_bounce_buffer(p: pagemap_scan_private): void {
  if (p.vec_len === 0) {
    p.vec_out = 0;
    return;
  }
  p.vec_buf_len = Math.min(MAX_REGIONS, p.vec_len);
  p.vec_buf = [{ start: 0, end: 0, categories: 0 }];
}

/** Copies the regions to the user. Returns how many (fs/proc/task_mmu.c: pagemap_scan_flush_buffer()). */
function* pagemap_scan_flush_buffer(m: Machine, p: pagemap_scan_private): Gen<number> {
  if (p.vec_buf === null) return 0;
  const last = p.vec_buf[p.vec_buf_index];
  const n = p.vec_buf_index + (last.end !== last.start ? 1 : 0);
  if (n === 0) return 0;
  const out = new BigUint64Array(n * 3);
  p.vec_buf.slice(0, n).forEach((r, k) => {
    out.set([BigInt(r.start), BigInt(r.end), BigInt(r.categories)], k * 3);
  });
  const bytes = new Uint8Array(out.buffer);
  if ((yield* copy_to_user(m, p.vec_out, bytes, bytes.length)) !== 0) return -EFAULT;
  p.vec_len -= n;
  p.vec_out += bytes.length;
  p.vec_buf_index = 0;
  p.vec_buf_len = Math.min(p.vec_buf_len, p.vec_len);
  p.vec_buf[0] = { start: 0, end: 0, categories: 0 };
  return n;
}

/** Walks once, as far as the buffer goes (a pass of the loop of fs/proc/task_mmu.c: do_pagemap_scan()). */
function* scan_once(m: Machine, mm: mm_struct, p: pagemap_scan_private, walk_start: number): Gen<number> {
  const killed = yield* mmap_read_lock_killable(m, mm);
  if (killed !== 0) return killed;
  const range = p.flags & PM_SCAN_WP_MATCHING ? new mmu_notifier_range() : null;
  if (range !== null) {
    mmu_notifier_range_init(range, MMU_NOTIFY_PROTECTION_VMA, 0, mm, walk_start, p.end);
    yield* mmu_notifier_invalidate_range_start(m, range);
  }
  const ret = yield* walk_page_range(m, mm, walk_start, p.end, pagemap_scan_ops, p);
  if (range !== null) yield* mmu_notifier_invalidate_range_end(m, range);
  mmap_read_unlock(m, mm);
  return ret;
}

/**
 * The ioctl PAGEMAP_SCAN: the ranges of pages of the wanted kinds, which it may write-protect. Returns their number or
 * -errno (fs/proc/task_mmu.c: do_pagemap_scan()).
 */
export function* do_pagemap_scan(m: Machine, mm: mm_struct, uarg: number): Gen<number> {
  if (!mmget_not_zero(mm)) return -ESRCH;
  const p = new pagemap_scan_private();
  let ret = yield* pagemap_scan_get_args(m, p, uarg);
  if (ret === 0) {
    p.masks_of_interest = p.category_mask | p.category_anyof_mask | p.return_mask;
    pagemap_scan_init_bounce_buffer(p);
    let n_ranges_out = 0;
    for (let walk_start = p.start; walk_start < p.end; walk_start = p.walk_end) {
      if (fatal_signal_pending(m.current)) {
        ret = -EINTR;
        break;
      }
      ret = yield* scan_once(m, mm, p, walk_start);
      const n_out = yield* pagemap_scan_flush_buffer(m, p);
      if (n_out < 0) ret = n_out;
      else n_ranges_out += n_out;
      if (ret !== -ENOSPC || p.vec_len === 0 || p.found_pages === p.max_pages) break;
    }
    if (ret === 0 || ret === -ENOSPC) ret = n_ranges_out;
    if (p.walk_end === 0) p.walk_end = p.end;
    const walk_end = new Uint8Array(new BigUint64Array([BigInt(p.walk_end)]).buffer);
    if ((yield* copy_to_user(m, uarg + ARG.walk_end * 8, walk_end, 8)) !== 0) ret = -EFAULT;
  }
  yield* mmput(m, mm);
  return ret;
}
