// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../../../../machine.ts';
import { mm_alloc } from '../../../../kernel/fork/mm_init.ts';
import { type mm_struct, vm_area_struct } from '../../../../mm/mm_types.ts';
import { page_to_pfn } from '../../../../mm/page.ts';
import { maybe_mkwrite, mk_pte, pmd_mkhuge, pte_alloc_one } from './pgalloc.ts';
import { _PAGE_PRESENT, _PAGE_PSE, _PAGE_RW, _PAGE_TABLE, _PAGE_USER, pte_pfn } from './pgtable.ts';

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
