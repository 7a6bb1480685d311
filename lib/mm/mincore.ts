// SPDX-License-Identifier: GPL-2.0-only

import { type ptdesc, pte_index, pte_none, pte_present } from '../arch/x86/mm/pgtable/pgtable.ts';
import { pte_unmap_unlock } from '../arch/x86/mm/pgtable/pgalloc.ts';
import { access_ok, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL, ENOMEM } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { spin_unlock } from '../kernel/locking/spinlock.ts';
import { cond_resched } from '../kernel/sched/core.ts';
import { Unmodelled } from '../unmodelled.ts';
import { filemap_get_entry } from './filemap/filemap.ts';
import { folio_put } from './folio.ts';
import { pmd_trans_huge_lock } from './huge_memory/pmd_lock.ts';
import { hstate_vma } from './hugetlb/pool.ts';
import { huge_pte_lock, huge_ptep_get } from './hugetlb/vma.ts';
import { pte_is_marker, softleaf_from_pte, softleaf_is_swap } from './leafops.ts';
import { linear_page_index, type mm_struct, type vm_area_struct } from './mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { folio_test_uptodate } from './page-flags.ts';
import { ACTION_AGAIN, type mm_walk, type mm_walk_ops, PGWALK_RDLOCK, walk_page_range_vma } from './pagewalk.ts';
import { pte_offset_map_lock } from './pgtable-generic.ts';
import { PAGE_SIZE } from './physmem.ts';
import { vma_lookup } from './vma/vma.ts';

/** A byte a page of the range that is looked at, which starts at `start`. NON-KERNEL (upstream: a pointer that moves). */
interface vector {
  readonly bytes: Uint8Array;
  readonly start: number;
}

/** Writes the bytes of [addr, end). NON-KERNEL (upstream: memset()). */
function fill(vec: vector, addr: number, end: number, value: number): void {
  vec.bytes.fill(value, (addr - vec.start) / PAGE_SIZE, (end - vec.start) / PAGE_SIZE);
}

/** mm/mincore.c: mincore_hugetlb() */
function* mincore_hugetlb(
  m: Machine,
  pt: ptdesc,
  i: number,
  _size: number,
  addr: number,
  end: number,
  walk: mm_walk<vector>,
): Gen<number> {
  const ptl = yield* huge_pte_lock(m, hstate_vma(m, walk.vma as vm_area_struct), walk.mm, pt);
  const pte = huge_ptep_get(m, walk.mm, addr, pt, i);
  fill(walk.private, addr, end, !pte_none(pte) && !pte_is_marker(pte) ? 1 : 0);
  spin_unlock(m, ptl);
  return 0;
}

/** Returns 1 for an entry that is no swap entry: its page is in memory (mm/mincore.c: mincore_swap()). */
function mincore_swap(pte: number): number {
  if (softleaf_is_swap(softleaf_from_pte(pte))) throw new Unmodelled('mm/mincore.c: mincore_swap() of a swap entry');
  return 1;
}

/** Looks pages without ptes up in the page cache (mm/mincore.c: __mincore_unmapped_range()). */
function __mincore_unmapped_range(m: Machine, addr: number, end: number, vma: vm_area_struct, vec: vector): void {
  const mapping = vma.vm_file?.f_mapping ?? null;
  if (mapping === null) {
    fill(vec, addr, end, 0);
    return;
  }
  for (; addr < end; addr += PAGE_SIZE) {
    const folio = filemap_get_entry(m, mapping, linear_page_index(vma, addr));
    fill(vec, addr, addr + PAGE_SIZE, folio !== 0 && folio_test_uptodate(m, folio) ? 1 : 0);
    if (folio !== 0) folio_put(m, folio);
  }
}

/** mm/mincore.c: mincore_unmapped_range() */
function* mincore_unmapped_range(
  m: Machine,
  addr: number,
  end: number,
  _depth: number,
  walk: mm_walk<vector>,
): Gen<number> {
  __mincore_unmapped_range(m, addr, end, walk.vma as vm_area_struct, walk.private);
  return 0;
}

/** mm/mincore.c: mincore_pte_range() */
function* mincore_pte_range(
  m: Machine,
  pmdt: ptdesc,
  pi: number,
  addr: number,
  end: number,
  walk: mm_walk<vector>,
): Gen<number> {
  const vma = walk.vma as vm_area_struct;
  const vec = walk.private;
  if (yield* pmd_trans_huge_lock(m, pmdt, pi, vma)) {
    fill(vec, addr, end, 1);
    spin_unlock(m, pmdt.ptl);
    return 0;
  }
  const pt = yield* pte_offset_map_lock(m, walk.mm, pmdt, pi, addr);
  if (pt === null) {
    walk.action = ACTION_AGAIN;
    return 0;
  }
  for (; addr !== end; addr += PAGE_SIZE) {
    const pte = pt.entry[pte_index(addr)];
    if (pte_none(pte) || pte_is_marker(pte)) __mincore_unmapped_range(m, addr, addr + PAGE_SIZE, vma, vec);
    else fill(vec, addr, addr + PAGE_SIZE, pte_present(pte) ? 1 : mincore_swap(pte));
  }
  pte_unmap_unlock(m, pt);
  yield* cond_resched(m);
  return 0;
}

const mincore_walk_ops: mm_walk_ops<vector> = {
  pmd_entry: mincore_pte_range,
  pte_hole: mincore_unmapped_range,
  hugetlb_entry: mincore_hugetlb,
  walk_lock: PGWALK_RDLOCK,
};

/**
 * Looks at up to `pages` pages of one vma. Returns how many it did, or -errno (mm/mincore.c: do_mincore()). Leaves out
 * can_do_mincore(): all files here may be written to.
 */
function* do_mincore(m: Machine, addr: number, pages: number, bytes: Uint8Array): Gen<number> {
  const vma = vma_lookup(m.current.mm as mm_struct, addr);
  if (vma === null) return -ENOMEM;
  const end = Math.min(vma.vm_end, addr + pages * PAGE_SIZE);
  const err = yield* walk_page_range_vma(m, vma, addr, end, mincore_walk_ops, { bytes, start: addr });
  return err < 0 ? err : (end - addr) / PAGE_SIZE;
}

/** Writes a byte a page: 1 if it is in memory. Returns 0 or -errno (mm/mincore.c: mincore()). */
export function* sys_mincore(m: Machine, start: number, len: number, vec: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  if (!access_ok(start, len)) return -ENOMEM;
  let pages = Math.ceil(len / PAGE_SIZE);
  if (!access_ok(vec, pages)) return -EFAULT;
  const bytes = new Uint8Array(PAGE_SIZE);
  while (pages > 0) {
    yield* mmap_read_lock(m, mm);
    const done = yield* do_mincore(m, start, Math.min(pages, PAGE_SIZE), bytes);
    mmap_read_unlock(m, mm);
    if (done <= 0) return done;
    if ((yield* copy_to_user(m, vec, bytes.subarray(0, done), done)) !== 0) return -EFAULT;
    pages -= done;
    vec += done;
    start += done * PAGE_SIZE;
  }
  return 0;
}
