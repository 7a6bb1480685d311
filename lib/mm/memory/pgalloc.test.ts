// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { pmd_clear, pte_alloc_one, pte_free, pud_table } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  _PAGE_PRESENT,
  _PAGE_PSE,
  type _PAGE_RW,
  type _PAGE_TABLE,
  type _PAGE_USER,
  pfn_pte,
  pmd_is_table,
  type ptdesc,
  pte_pfn,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { Machine } from '../../machine.ts';
import { mm_alloc } from '../../kernel/fork/mm_init.ts';
import { at_once } from '../../kernel/testing.ts';
import type { mm_struct } from '../mm_types.ts';
import { page_to_pfn, PGTY_table } from '../page.ts';
import { pte_offset_map, pte_offset_map_lock } from '../pgtable-generic.ts';
import { mm_find_pmd } from '../rmap/rmap.ts';
import { mm_alloc_pmd } from '../userfaultfd/mfill.ts';
import { pmd_alloc, pmd_install, pte_alloc, pte_alloc_map_lock, pud_alloc } from './pgalloc.ts';

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
