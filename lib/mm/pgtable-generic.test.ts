// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { pmd_free, pmd_lock, pte_alloc_one, pte_free, pte_unmap_unlock } from '../arch/x86/mm/pgtable/pgalloc.ts';
import type {
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_TABLE,
  _PAGE_USER,
  ptdesc,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import { Machine } from '../machine.ts';
import { mm_alloc } from '../kernel/fork/mm_init.ts';
import { at_once } from '../kernel/testing.ts';
import { pte_alloc_map_lock } from './memory/pgalloc.ts';
import type { mm_struct } from './mm_types.ts';
import { pgtable_trans_huge_deposit, pgtable_trans_huge_withdraw, pte_offset_map_lock } from './pgtable-generic.ts';
import { mm_alloc_pmd } from './userfaultfd/mfill.ts';

const ADDR = 0x7f1234567000;

/**
 * A machine with memory and an empty address space; `free` is the number of pages freed since then, negative if some
 * were allocated.
 */
function setting(): { m: Machine; mm: mm_struct; free: () => number } {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  m.zone.add_span(0x10000, 0x10400);
  const mm = mm_alloc(m) as mm_struct;
  const all = m.zone.nr_free;
  return { m, mm, free: () => m.zone.nr_free - all };
}

t.test('the lock of a pte table is taken and given back, and a locked table cannot be freed', (t) => {
  const { m, mm } = setting();
  const pmdt = at_once(mm_alloc_pmd(m, mm, ADDR)) as ptdesc;
  const pt = at_once(pte_alloc_map_lock(m, mm, pmdt, 3, 0)) as ptdesc;
  t.equal(pt.ptl.owner, m.current);
  t.throws(() => pte_free(m, mm, pt), { name: 'Oops' });
  pte_unmap_unlock(m, pt);
  t.equal(pt.ptl.owner, null);
  t.equal(at_once(pte_offset_map_lock(m, mm, pmdt, 3, 0)), pt);
  pte_unmap_unlock(m, pt);
  t.end();
});

t.test('deposited tables come back last first, under the lock only, and keep their pmd table alive', (t) => {
  const { m, mm } = setting();
  const pmdt = at_once(mm_alloc_pmd(m, mm, ADDR)) as ptdesc;
  const [a, b] = [pte_alloc_one(m, mm) as ptdesc, pte_alloc_one(m, mm) as ptdesc];
  t.throws(() => pgtable_trans_huge_deposit(m, mm, pmdt, 0, a), /without the pmd lock/);
  at_once(pmd_lock(m, mm, pmdt));
  pgtable_trans_huge_deposit(m, mm, pmdt, 0, a);
  pgtable_trans_huge_deposit(m, mm, pmdt, 1, b);
  t.throws(() => pmd_free(m, mm, pmdt), /deposited/);
  t.equal(pgtable_trans_huge_withdraw(m, mm, pmdt, 0), b);
  t.equal(pgtable_trans_huge_withdraw(m, mm, pmdt, 1), a);
  t.throws(() => pgtable_trans_huge_withdraw(m, mm, pmdt, 0), /nothing deposited/);
  t.end();
});
