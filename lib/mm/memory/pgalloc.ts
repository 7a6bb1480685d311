// SPDX-License-Identifier: GPL-2.0-only

import {
  mm_inc_nr_pmds,
  mm_inc_nr_ptes,
  mm_inc_nr_puds,
  p4d_populate,
  pmd_alloc_one,
  pmd_free,
  pmd_lock,
  pmd_populate,
  pte_alloc_one,
  pte_free,
  pud_alloc_one,
  pud_free,
  pud_lock,
  pud_populate,
} from '../../arch/x86/mm/pgtable/pgalloc.ts';
import { pmd_none, type ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { ENOMEM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { mm_struct } from '../mm_types.ts';
import { pte_offset_map_lock } from '../pgtable-generic.ts';

/**
 * Installs the pte table at the pmd if the pmd is still none. Returns false if the caller keeps the table (mm/memory.c:
 * pmd_install()).
 */
export function* pmd_install(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number, pt: ptdesc): Gen<boolean> {
  const ptl = yield* pmd_lock(m, mm, pmdt);
  const empty = pmd_none(pmdt.entry[pi]);
  if (empty) {
    mm_inc_nr_ptes(mm);
    pmd_populate(m, mm, pmdt, pi, pt);
  }
  spin_unlock(m, ptl);
  return empty;
}

/**
 * Returns the pud table of the pgd entry and allocates it if needed; null without memory (include/linux/mm.h:
 * pud_alloc()).
 */
export function* pud_alloc(m: Machine, mm: mm_struct, pgdt: ptdesc, gi: number, addr: number): Gen<ptdesc | null> {
  const there = pgdt.child?.[gi];
  if (there) return there;
  const made = pud_alloc_one(m, mm, addr);
  if (made === null) return null;
  yield* spin_lock(m, mm.page_table_lock);
  if (pgdt.entry[gi] === 0) {
    mm_inc_nr_puds(mm);
    p4d_populate(m, mm, pgdt, gi, made);
  } else {
    pud_free(m, mm, made);
  }
  spin_unlock(m, mm.page_table_lock);
  return pgdt.child?.[gi] ?? null;
}

/**
 * Returns the pmd table of the pud and allocates it if needed; null without memory (include/linux/mm.h: pmd_alloc()).
 */
export function* pmd_alloc(m: Machine, mm: mm_struct, pudt: ptdesc, ui: number, addr: number): Gen<ptdesc | null> {
  const there = pudt.child?.[ui];
  if (there) return there;
  const made = pmd_alloc_one(m, mm, addr);
  if (made === null) return null;
  const ptl = yield* pud_lock(m, mm, pudt);
  if (pudt.entry[ui] === 0) {
    mm_inc_nr_pmds(mm);
    pud_populate(m, mm, pudt, ui, made);
  } else {
    pmd_free(m, mm, made);
  }
  spin_unlock(m, ptl);
  return pudt.child?.[ui] ?? null;
}

/** Allocates a pte table if the pmd is none. Returns 0 or -ENOMEM (include/linux/mm.h: pte_alloc()). */
export function* pte_alloc(m: Machine, mm: mm_struct, pmdt: ptdesc, pi: number): Gen<number> {
  if (!pmd_none(pmdt.entry[pi])) return 0;
  const made = pte_alloc_one(m, mm);
  if (made === null) return -ENOMEM;
  if (!(yield* pmd_install(m, mm, pmdt, pi, made))) pte_free(m, mm, made);
  return 0;
}

/**
 * Allocates the pte table if needed and locks it. Returns null without memory or if the pmd is not a table
 * (include/linux/mm.h: pte_alloc_map_lock()).
 */
export function* pte_alloc_map_lock(
  m: Machine,
  mm: mm_struct,
  pmdt: ptdesc,
  pi: number,
  addr: number,
): Gen<ptdesc | null> {
  if (pmd_none(pmdt.entry[pi]) && (yield* pte_alloc(m, mm, pmdt, pi)) !== 0) return null;
  return yield* pte_offset_map_lock(m, mm, pmdt, pi, addr);
}
