// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../../../../boot.ts';
import { mm_alloc } from '../../../../kernel/fork/mm_init.ts';
import { at_once } from '../../../../kernel/testing.ts';
import { pmd_alloc, pmd_install, pte_alloc, pte_alloc_map_lock, pud_alloc } from '../../../../mm/memory/pgalloc.ts';
import { type mm_struct, vm_area_struct } from '../../../../mm/mm_types.ts';
import { page_to_pfn, PGTY_table } from '../../../../mm/page.ts';
import {
  pgtable_trans_huge_deposit,
  pgtable_trans_huge_withdraw,
  pte_offset_map,
  pte_offset_map_lock,
} from '../../../../mm/pgtable-generic.ts';
import { mm_find_pmd } from '../../../../mm/rmap/rmap.ts';
import { mm_alloc_pmd } from '../../../../mm/userfaultfd/mfill.ts';
import {
  maybe_mkwrite,
  mk_pte,
  pmd_clear,
  pmd_free,
  pmd_lock,
  pmd_mkhuge,
  pte_alloc_one,
  pte_free,
  pte_unmap_unlock,
  pud_table,
} from './pgalloc.ts';
import {
  _PAGE_PRESENT,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_TABLE,
  _PAGE_USER,
  pfn_pte,
  pmd_is_table,
  type ptdesc,
  pte_pfn,
} from './pgtable.ts';

const PAGE = 4096;
const ADDR = 0x7f1234567000;
const ENOMEM = 12;

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

t.test('tables are made from the top down as far as needed, once, and counted', (t) => {
  const { m, mm, free } = setting();
  t.equal(mm_find_pmd(m, mm, ADDR), null);
  const pmdt = at_once(mm_alloc_pmd(m, mm, ADDR)) as ptdesc;
  t.equal(pmdt.level, 2);
  t.equal(mm.pgtables_bytes, 2 * PAGE, 'the top table is not counted');
  t.equal(free(), -2);
  t.equal(m.page.page_type[pmdt.page], PGTY_table);
  t.equal(at_once(mm_alloc_pmd(m, mm, ADDR + 0x200000)), pmdt, 'the same gigabyte');
  t.not(at_once(mm_alloc_pmd(m, mm, ADDR + 2 ** 30)), pmdt);
  t.equal(mm.pgtables_bytes, 3 * PAGE);
  t.equal(mm_find_pmd(m, mm, ADDR), pmdt);
  const pud = pud_table(mm, ADDR) as ptdesc;
  t.equal(pud.level, 3);
  t.equal(
    pte_pfn(pud.entry[(ADDR / 2 ** 30) & 511]),
    page_to_pfn(m, pmdt.page),
    'the entry names the page of the table',
  );
  t.equal(at_once(pud_alloc(m, mm, mm.pgd, (ADDR / 2 ** 39) & 511, ADDR)), pud);
  t.equal(at_once(pmd_alloc(m, mm, pud, (ADDR / 2 ** 30) & 511, ADDR)), pmdt);
  t.end();
});

t.test('a pte table is installed where nothing is; a second one stays with its maker', (t) => {
  const { m, mm, free } = setting();
  const pmdt = at_once(mm_alloc_pmd(m, mm, ADDR)) as ptdesc;
  t.equal(at_once(pte_offset_map_lock(m, mm, pmdt, 5, 0)), null);
  t.equal(at_once(pte_alloc(m, mm, pmdt, 5)), 0);
  const pt = pte_offset_map(m, pmdt, 5) as ptdesc;
  t.equal(pt.level, 1);
  t.equal(mm.pgtables_bytes, 3 * PAGE);
  t.equal(at_once(pte_alloc(m, mm, pmdt, 5)), 0);
  const late = pte_alloc_one(m, mm) as ptdesc;
  t.equal(at_once(pmd_install(m, mm, pmdt, 5, late)), false);
  t.equal(pte_offset_map(m, pmdt, 5), pt);
  t.equal(mm.pgtables_bytes, 3 * PAGE);
  pte_free(m, mm, late);
  t.equal(free(), -3);
  t.ok(pmd_is_table(pmdt.entry[5]));
  pmd_clear(pmdt, 5);
  t.same([pmdt.entry[5], pmdt.child?.[5]], [0, null]);
  pmdt.entry[5] = pfn_pte(512, _PAGE_PRESENT | _PAGE_PSE);
  t.equal(at_once(pte_alloc(m, mm, pmdt, 5)), 0, 'a huge page is not replaced');
  t.equal(pte_offset_map(m, pmdt, 5), null);
  t.equal(at_once(pte_alloc_map_lock(m, mm, pmdt, 5, 0)), null);
  t.equal(free(), -3);
  t.end();
});

t.test('without memory nothing is made and nothing is counted', (t) => {
  const { m, mm, free } = setting();
  const pmdt = at_once(mm_alloc_pmd(m, mm, ADDR)) as ptdesc;
  const bytes = mm.pgtables_bytes;
  m.zone.fail_page_alloc = () => true;
  t.equal(at_once(pte_alloc(m, mm, pmdt, 1)), -ENOMEM);
  t.equal(at_once(pte_alloc_map_lock(m, mm, pmdt, 1, 0)), null);
  t.equal(at_once(mm_alloc_pmd(m, mm, ADDR + 2 ** 30)), null);
  t.equal(at_once(mm_alloc_pmd(m, mm, 0)), null);
  t.equal(mm.pgtables_bytes, bytes);
  t.equal(free(), -2);
  let n = 0;
  m.zone.fail_page_alloc = () => n++ > 0;
  t.equal(at_once(mm_alloc_pmd(m, mm, 0)), null, 'the pud table was had, the pmd table not');
  t.equal(mm.pgtables_bytes, bytes + PAGE);
  t.end();
});

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

t.test('entries for pages', (t) => {
  const { m, mm } = setting();
  const vma = new vm_area_struct(mm, 0x10000, 0x20000);
  const page = pte_alloc_one(m, mm)?.page as number;
  const pte = mk_pte(m, page, _PAGE_PRESENT | _PAGE_USER);
  t.equal(pte_pfn(pte), page_to_pfn(m, page));
  vma.vm_flags = 1;
  t.equal(maybe_mkwrite(pte, vma), pte);
  vma.vm_flags = 3;
  t.equal(maybe_mkwrite(pte, vma), pte + _PAGE_RW);
  t.equal(pmd_mkhuge(pmd_mkhuge(pte)), pte + _PAGE_PSE);
  t.equal(pte & _PAGE_TABLE, 0);
  t.end();
});
