// SPDX-License-Identifier: GPL-2.0-only

import {
  _PAGE_PRESENT,
  _PAGE_RW,
  _PAGE_USER,
  PAGE_ALIGN_DOWN,
  pgd_index,
  pmd_addr_end,
  pmd_index,
  pmd_is_table,
  pmd_leaf,
  PMD_SIZE,
  type ptdesc,
  pte_index,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_special,
  pte_write,
  pud_index,
  TASK_SIZE,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINVAL, EOVERFLOW } from '../../errno.ts';
import type { address_space } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { WARN_ON_ONCE } from '../../kernel/printk.ts';
import type { mm_struct } from '../mm_types.ts';
import { folio_set_referenced } from '../page-flags.ts';
import { FOLIO_MAPPING_ANON, FOLIO_MAPPING_FLAGS, folio_test_hugetlb, page_folio, pfn_to_page } from '../page.ts';
import { pte_offset_map } from '../pgtable-generic.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { shmem_mapping } from '../shmem.ts';
import { __gup_longterm_locked } from './longterm.ts';
import {
  FOLL_FAST_ONLY,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HONOR_NUMA_FAULT,
  FOLL_LONGTERM,
  FOLL_NOFAULT,
  FOLL_PCI_P2PDMA,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_UNLOCKABLE,
  FOLL_WRITE,
  gup_fast_unpin_user_pages,
  gup_must_unshare,
  gup_put_folio,
  mm_set_has_pinned_flag,
  sanity_check_pinned_pages,
  try_grab_folio_fast,
} from './pin.ts';

// Upstream walks with interrupts disabled, so that neither page tables nor pages are freed under it. Here the walk is
// one plain function: nothing runs between its steps. The checks that upstream makes after taking a reference can
// therefore not fail here, except that of fork's write_protect_seq, which covers steps before the walk.

interface pages_found {
  readonly pages: Int32Array;
  nr: number;
}

/**
 * Returns true if user space may read, or write if `write` (arch/x86/include/asm/pgtable.h: pte_access_permitted()).
 */
function pte_access_permitted(pte: number, write: boolean): boolean {
  const need = _PAGE_PRESENT | _PAGE_USER | (write ? _PAGE_RW : 0);
  return (pte & need) === need;
}

/**
 * Returns true unless the folio may be a file's that must not be pinned long-term for writing (mm/gup.c:
 * gup_fast_folio_allowed()).
 */
function gup_fast_folio_allowed(m: Machine, folio: number, flags: number): boolean {
  const reject = FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE;
  const reject_file_backed = (flags & reject) === reject;
  if (!reject_file_backed || folio_test_hugetlb(m, folio)) return true;
  const mapping = m.page.mapping[folio];
  if (mapping === 0) return false;
  if (mapping & FOLIO_MAPPING_FLAGS) return (mapping & FOLIO_MAPPING_ANON) !== 0;
  return shmem_mapping(m.mappings.get(mapping >> 2) as address_space);
}

/**
 * Grabs nr pages that one entry maps. Returns false if the slow path has to be taken. NON-KERNEL: the common part of
 * upstream's gup_fast_pte_range() and gup_fast_pmd_leaf().
 */
function gup_fast_grab(
  m: Machine,
  entry: number,
  page: number,
  nr: number,
  flags: number,
  found: pages_found,
  unshare_page: number,
): boolean {
  const folio = try_grab_folio_fast(m, page, nr, flags);
  if (folio === 0) return false;
  if (
    !gup_fast_folio_allowed(m, folio, flags) ||
    (!pte_write(entry) && gup_must_unshare(m, null, flags, unshare_page))
  ) {
    gup_put_folio(m, folio, nr, flags);
    return false;
  }
  for (let i = 0; i < nr; i++) found.pages[found.nr++] = page + i;
  folio_set_referenced(m, folio);
  return true;
}

/**
 * Grabs the pages of one pte table. Returns false if the slow path has to be taken (mm/gup.c: gup_fast_pte_range()).
 */
function gup_fast_pte_range(
  m: Machine,
  pmdt: ptdesc,
  addr: number,
  end: number,
  flags: number,
  found: pages_found,
): boolean {
  const pt = pte_offset_map(m, pmdt, pmd_index(addr));
  if (pt === null) return false;
  for (; addr < end; addr += PAGE_SIZE) {
    const pte = pt.entry[pte_index(addr)];
    if (pte_protnone(pte) || !pte_access_permitted(pte, (flags & FOLL_WRITE) !== 0) || pte_special(pte)) return false;
    const page = pfn_to_page(m, pte_pfn(pte));
    if (!gup_fast_grab(m, pte, page, 1, flags, found, page)) return false;
  }
  return true;
}

/** Grabs pages of one huge pmd. Returns false if the slow path has to be taken (mm/gup.c: gup_fast_pmd_leaf()). */
function gup_fast_pmd_leaf(
  m: Machine,
  pmd: number,
  addr: number,
  end: number,
  flags: number,
  found: pages_found,
): boolean {
  if (!pte_access_permitted(pmd, (flags & FOLL_WRITE) !== 0) || pte_special(pmd)) return false;
  const page = pfn_to_page(m, pte_pfn(pmd)) + (addr % PMD_SIZE) / PAGE_SIZE;
  return gup_fast_grab(m, pmd, page, (end - addr) / PAGE_SIZE, flags, found, page_folio(m, page));
}

/**
 * Walks the page tables and grabs pages until one needs the slow path (mm/gup.c: gup_fast_pgd_range()). Leaves out huge
 * puds: nothing modelled maps them.
 */
function gup_fast_pgd_range(
  m: Machine,
  mm: mm_struct,
  addr: number,
  end: number,
  flags: number,
  found: pages_found,
): void {
  for (let next: number; addr < end; addr = next) {
    next = pmd_addr_end(addr, end);
    const pmdt = mm.pgd.child?.[pgd_index(addr)]?.child?.[pud_index(addr)] ?? null;
    if (pmdt === null) return;
    const pmd = pmdt.entry[pmd_index(addr)];
    if (!pmd_is_table(pmd) && !pte_present(pmd)) return;
    if (pmd_leaf(pmd)) {
      if (pte_protnone(pmd) || !gup_fast_pmd_leaf(m, pmd, addr, next, flags, found)) return;
    } else if (!gup_fast_pte_range(m, pmdt, addr, next, flags, found)) {
      return;
    }
  }
}

/** Returns the number of pages grabbed without locks (mm/gup.c: gup_fast()). */
function gup_fast(m: Machine, start: number, end: number, gup_flags: number, pages: Int32Array): number {
  const mm = m.current.mm as mm_struct;
  if (gup_flags & FOLL_PIN && mm.write_protect_seq % 2 === 1) return 0;
  const seq = mm.write_protect_seq;
  const found = { pages, nr: 0 };
  gup_fast_pgd_range(m, mm, start, end, gup_flags, found);
  if (gup_flags & FOLL_PIN) {
    if (mm.write_protect_seq !== seq) {
      gup_fast_unpin_user_pages(m, pages, found.nr);
      return 0;
    }
    sanity_check_pinned_pages(m, pages, found.nr);
  }
  return found.nr;
}

/**
 * Grabs pages without locks if possible, the rest by the slow path. Returns the number of pages, or a negative errno if
 * there are none (mm/gup.c: gup_fast_fallback()).
 */
export function* gup_fast_fallback(
  m: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: Int32Array,
): Gen<number> {
  const allowed =
    FOLL_WRITE |
    FOLL_LONGTERM |
    FOLL_FORCE |
    FOLL_PIN |
    FOLL_GET |
    FOLL_FAST_ONLY |
    FOLL_NOFAULT |
    FOLL_PCI_P2PDMA |
    FOLL_HONOR_NUMA_FAULT;
  if (WARN_ON_ONCE(m, (gup_flags & ~allowed) !== 0, 'gup_fast_fallback')) return -EINVAL;
  const mm = m.current.mm as mm_struct;
  if (gup_flags & FOLL_PIN) mm_set_has_pinned_flag(mm);
  start = PAGE_ALIGN_DOWN(start);
  const end = start + nr_pages * PAGE_SIZE;
  if (end >= 2 ** 64) return -EOVERFLOW;
  if (end > TASK_SIZE) return -EFAULT;
  const nr_pinned = gup_fast(m, start, end, gup_flags, pages);
  if (nr_pinned === nr_pages || gup_flags & FOLL_FAST_ONLY) return nr_pinned;
  const ret = yield* __gup_longterm_locked(
    m,
    mm,
    start + nr_pinned * PAGE_SIZE,
    nr_pages - nr_pinned,
    pages.subarray(nr_pinned),
    { locked: false },
    gup_flags | FOLL_TOUCH | FOLL_UNLOCKABLE,
  );
  if (ret < 0) return nr_pinned > 0 ? nr_pinned : ret;
  return ret + nr_pinned;
}
