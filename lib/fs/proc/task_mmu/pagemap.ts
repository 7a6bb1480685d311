// SPDX-License-Identifier: GPL-2.0-only

import { pte_unmap_unlock } from '../../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  pmd_none,
  pmd_present,
  PMD_SIZE,
  pmdp_get,
  type ptdesc,
  pte_index,
  pte_none,
  pte_pfn,
  pte_present,
  pte_uffd,
  ptep_get,
} from '../../../arch/x86/mm/pgtable/pgtable.ts';
import { copy_to_user } from '../../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../../machine.ts';
import { EFAULT, EINVAL, ESRCH } from '../../../errno.ts';
import { mmdrop, mmget_not_zero, mmgrab, mmput } from '../../../kernel/fork/mm_init.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { spin_unlock } from '../../../kernel/locking/spinlock.ts';
import { cond_resched, type task_struct } from '../../../kernel/sched/core.ts';
import { pmd_trans_huge_lock } from '../../../mm/huge_memory/pmd_lock.ts';
import { hstate_vma, huge_page_size } from '../../../mm/hugetlb/pool.ts';
import { huge_pte_lock, huge_ptep_get } from '../../../mm/hugetlb/vma.ts';
import {
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_has_pfn,
  softleaf_is_guard_marker,
  softleaf_is_uffd_wp_marker,
  softleaf_to_page,
  swp_offset,
  swp_type,
} from '../../../mm/leafops.ts';
import { vm_normal_page, vm_normal_page_pmd } from '../../../mm/memory/fault.ts';
import type { mm_struct, vm_area_struct } from '../../../mm/mm_types.ts';
import { find_vma } from '../../../mm/mmap/find_vma.ts';
import { mmap_read_lock_killable, mmap_read_unlock } from '../../../mm/mmap_lock.ts';
import { folio_test_anon, page_folio, pfn_to_page } from '../../../mm/page.ts';
import { ACTION_AGAIN, type mm_walk, type mm_walk_ops, PGWALK_RDLOCK, walk_page_range } from '../../../mm/pagewalk.ts';
import { pte_offset_map_lock } from '../../../mm/pgtable-generic.ts';
import { PAGE_SIZE } from '../../../mm/physmem.ts';
import { folio_maybe_mapped_shared, folio_precise_page_mapcount } from '../../../mm/rmap/rmap.ts';
import { pte_swp_uffd_any } from '../../../mm/userfaultfd/userfaultfd.ts';
import type { file_operations } from '../../fs.ts';

import { do_pagemap_scan } from './pagemap_scan.ts';

// Flags of a pagemap entry in its upper 32-bit word (fs/proc/task_mmu.c: PM_PRESENT and the like). PM_SOFT_DIRTY is never
// set: the recorded kernel has no CONFIG_MEM_SOFT_DIRTY.
const PM_MMAP_EXCLUSIVE = 1 << 24;
const PM_UFFD_WP = 1 << 25;
const PM_GUARD_REGION = 1 << 26;
const PM_FILE = 1 << 29;
const PM_SWAP = 1 << 30;
const PM_PRESENT = 1 << 31;
const PM_PFRAME_HI = 0x7fffff;
const PM_ENTRY_BYTES = 8;
const PM_END_OF_BUFFER = 1;
/** pages read under one mmap_lock section (fs/proc/task_mmu.c: PAGEMAP_WALK_SIZE) */
const PAGEMAP_WALK_PAGES = 512;
const MAX_SWAPFILES_SHIFT = 5;
/** include/uapi/linux/fs.h: PAGEMAP_SCAN, _IOWR('f', 16, struct pm_scan_arg) */
const PAGEMAP_SCAN = 0xc0606610;

/**
 * State of a pagemap read; entries are pairs of 32-bit words, low one first (fs/proc/task_mmu.c: struct pagemapread).
 */
class pagemapread {
  readonly buffer = new Uint32Array(PAGEMAP_WALK_PAGES * 2);
  pos = 0;
}

/** fs/proc/task_mmu.c: add_to_pagemap() */
function add_to_pagemap(pm: pagemapread, frame: number, flags: number): number {
  pm.buffer[pm.pos * 2] = frame >>> 0;
  pm.buffer[pm.pos * 2 + 1] = ((Math.floor(frame / 2 ** 32) & PM_PFRAME_HI) | flags) >>> 0;
  pm.pos++;
  return pm.pos >= PAGEMAP_WALK_PAGES ? PM_END_OF_BUFFER : 0;
}

/** Returns a frame of swap type and offset. NON-KERNEL: pte_to_pagemap_entry() does it in place. */
function swap_frame(m: Machine, entry: number, offset: number): number {
  return swp_type(entry, m.device_private.max_swapfiles) + offset * (1 << MAX_SWAPFILES_SHIFT);
}

/** fs/proc/task_mmu.c: __folio_page_mapped_exclusively() */
function __folio_page_mapped_exclusively(m: Machine, folio: number, page: number): boolean {
  return folio_precise_page_mapcount(m, folio, page) === 1;
}

/** fs/proc/task_mmu.c: pagemap_pte_hole() */
function* pagemap_pte_hole(
  _m: Machine,
  start: number,
  end: number,
  _depth: number,
  walk: mm_walk<pagemapread>,
): Gen<number> {
  const pm = walk.private;
  let addr = start;
  while (addr < end) {
    const vma = find_vma(walk.mm, addr);
    const hole_end = vma === null ? end : Math.min(end, vma.vm_start);
    for (; addr < hole_end; addr += PAGE_SIZE) if (add_to_pagemap(pm, 0, 0) !== 0) return PM_END_OF_BUFFER;
    if (vma === null) break;
    for (; addr < Math.min(end, vma.vm_end); addr += PAGE_SIZE)
      if (add_to_pagemap(pm, 0, 0) !== 0) return PM_END_OF_BUFFER;
  }
  return 0;
}

/** fs/proc/task_mmu.c: pte_to_pagemap_entry() */
function pte_to_pagemap_entry(m: Machine, pm: pagemapread, vma: vm_area_struct, addr: number, pte: number): number {
  let frame = 0;
  let flags = 0;
  if (!pte_none(pte)) {
    let page = 0;
    if (pte_present(pte)) {
      frame = pte_pfn(pte);
      flags |= PM_PRESENT;
      page = vm_normal_page(m, vma, addr, pte);
    } else {
      const entry = softleaf_from_pte(pte);
      frame = swap_frame(m, entry, swp_offset(entry));
      flags |= PM_SWAP;
      if (softleaf_has_pfn(entry)) page = softleaf_to_page(m, entry);
      if (softleaf_is_uffd_wp_marker(entry)) flags |= PM_UFFD_WP;
      if (softleaf_is_guard_marker(entry)) flags |= PM_GUARD_REGION;
    }
    if (pte_uffd(pte)) flags |= PM_UFFD_WP;
    if (page !== 0) {
      const folio = page_folio(m, page);
      if (!folio_test_anon(m, folio)) flags |= PM_FILE;
      if (flags & PM_PRESENT && __folio_page_mapped_exclusively(m, folio, page)) flags |= PM_MMAP_EXCLUSIVE;
    }
  }
  return add_to_pagemap(pm, frame, flags);
}

/** fs/proc/task_mmu.c: pagemap_pmd_range_thp() */
function pagemap_pmd_range_thp(
  m: Machine,
  pmd: number,
  addr: number,
  end: number,
  vma: vm_area_struct,
  pm: pagemapread,
): number {
  const idx = (addr % PMD_SIZE) / PAGE_SIZE;
  let flags = 0;
  let frame = 0;
  let page = 0;
  if (!pmd_none(pmd)) {
    if (pmd_present(pmd)) {
      page = vm_normal_page_pmd(m, vma, addr, pmd);
      flags |= PM_PRESENT;
      frame = pte_pfn(pmd) + idx;
    } else {
      const entry = softleaf_from_pmd(pmd);
      frame = swap_frame(m, entry, swp_offset(entry) + idx);
      flags |= PM_SWAP;
      if (softleaf_has_pfn(entry)) page = softleaf_to_page(m, entry);
    }
    if (pte_uffd(pmd)) flags |= PM_UFFD_WP;
    if (page !== 0) {
      const folio = page_folio(m, page);
      if (!folio_test_anon(m, folio)) flags |= PM_FILE;
      // A pmd mapping has the same mapcount for every page.
      if (flags & PM_PRESENT && __folio_page_mapped_exclusively(m, folio, page)) flags |= PM_MMAP_EXCLUSIVE;
    }
  }
  for (; addr !== end; addr += PAGE_SIZE) {
    if (add_to_pagemap(pm, frame, flags) !== 0) return PM_END_OF_BUFFER;
    if (flags & PM_PRESENT) frame++;
    else if (flags & PM_SWAP) frame += 1 << MAX_SWAPFILES_SHIFT;
  }
  return 0;
}

/** fs/proc/task_mmu.c: pagemap_pmd_range() */
function* pagemap_pmd_range(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  end: number,
  walk: mm_walk<pagemapread>,
): Gen<number> {
  const vma = walk.vma as vm_area_struct;
  const pm = walk.private;
  if (yield* pmd_trans_huge_lock(m, pmdt, pi, vma)) {
    const err = pagemap_pmd_range_thp(m, pmdp_get(pmdt, pi), addr, end, vma, pm);
    spin_unlock(m, pmdt.ptl);
    return err;
  }
  const pt = yield* pte_offset_map_lock(m, walk.mm, pmdt, pi, addr);
  if (pt === null) {
    walk.action = ACTION_AGAIN;
    return 0;
  }
  let err = 0;
  for (; addr < end && err === 0; addr += PAGE_SIZE)
    err = pte_to_pagemap_entry(m, pm, vma, addr, ptep_get(pt, pte_index(addr)));
  pte_unmap_unlock(m, pt);
  yield* cond_resched(m);
  return err;
}

/** fs/proc/task_mmu.c: pagemap_hugetlb_range() */
function* pagemap_hugetlb_range(
  m: Machine,
  pt: ptdesc,
  i: number,
  _hmask: number,
  addr: number,
  end: number,
  walk: mm_walk<pagemapread>,
): Gen<number> {
  const vma = walk.vma as vm_area_struct;
  const h = hstate_vma(m, vma);
  let flags = 0;
  let frame = 0;
  const ptl = yield* huge_pte_lock(m, h, walk.mm, pt);
  const pte = huge_ptep_get(m, walk.mm, addr, pt, i);
  if (pte_present(pte)) {
    const folio = page_folio(m, pfn_to_page(m, pte_pfn(pte)));
    if (!folio_test_anon(m, folio)) flags |= PM_FILE;
    if (!folio_maybe_mapped_shared(m, folio)) flags |= PM_MMAP_EXCLUSIVE;
    if (pte_uffd(pte)) flags |= PM_UFFD_WP;
    flags |= PM_PRESENT;
    frame = pte_pfn(pte) + (addr % huge_page_size(h)) / PAGE_SIZE;
  } else if (pte_swp_uffd_any(pte)) flags |= PM_UFFD_WP;
  let err = 0;
  for (; addr !== end && err === 0; addr += PAGE_SIZE) {
    err = add_to_pagemap(walk.private, frame, flags);
    if (flags & PM_PRESENT) frame++;
  }
  spin_unlock(m, ptl);
  yield* cond_resched(m);
  return err;
}

const pagemap_ops: mm_walk_ops<pagemapread> = {
  pmd_entry: pagemap_pmd_range,
  pte_hole: pagemap_pte_hole,
  hugetlb_entry: pagemap_hugetlb_range,
  walk_lock: PGWALK_RDLOCK,
};

/** Reads pagemap entries into user memory. Returns bytes or -errno (fs/proc/task_mmu.c: pagemap_read()). */
function* pagemap_walk(m: Machine, mm: mm_struct, buf: number, count: number, ppos: number): Gen<number> {
  if (ppos % PM_ENTRY_BYTES !== 0 || count % PM_ENTRY_BYTES !== 0) return -EINVAL;
  if (count === 0) return 0;
  let start_vaddr = (ppos / PM_ENTRY_BYTES) * PAGE_SIZE;
  const last = start_vaddr + (count / PM_ENTRY_BYTES) * PAGE_SIZE;
  const end_vaddr = last < mm.task_size ? last : mm.task_size;
  if (start_vaddr > mm.task_size) start_vaddr = end_vaddr;
  const pm = new pagemapread();
  const bytes = new Uint8Array(pm.buffer.buffer);
  let copied = 0;
  while (count > 0 && start_vaddr < end_vaddr) {
    pm.pos = 0;
    const end = Math.min(start_vaddr - (start_vaddr % PMD_SIZE) + PMD_SIZE, end_vaddr);
    const killed = yield* mmap_read_lock_killable(m, mm);
    if (killed !== 0) return killed;
    const err = yield* walk_page_range(m, mm, start_vaddr, end, pagemap_ops, pm);
    mmap_read_unlock(m, mm);
    if (err < 0) return err;
    start_vaddr = end;
    const len = Math.min(count, PM_ENTRY_BYTES * pm.pos);
    if ((yield* copy_to_user(m, buf, bytes.subarray(0, len), len)) !== 0) return -EFAULT;
    copied += len;
    buf += len;
    count -= len;
  }
  return copied;
}

/**
 * Operations of /proc/PID/pagemap: one 64-bit entry per page, read by root (fs/proc/task_mmu.c:
 * proc_pagemap_operations).
 */
export const proc_pagemap_operations: file_operations = {
  *open(_m, node, f): Gen<number> {
    const mm = (node.i_private as task_struct).mm;
    if (mm === null) return -ESRCH;
    mmgrab(mm);
    f.private_data = mm;
    return 0;
  },
  *release(m, _node, f): Gen<number> {
    mmdrop(m, f.private_data as mm_struct);
    return 0;
  },
  *read(m, f, buf, count, pos): Gen<number> {
    const mm = f.private_data as mm_struct;
    if (!mmget_not_zero(mm)) return 0;
    const ret = yield* pagemap_walk(m, mm, buf, count, pos);
    yield* mmput(m, mm);
    return ret;
  },
  *unlocked_ioctl(m, f, cmd, arg): Gen<number> {
    return cmd === PAGEMAP_SCAN ? yield* do_pagemap_scan(m, f.private_data as mm_struct, arg) : -EINVAL;
  },
};
