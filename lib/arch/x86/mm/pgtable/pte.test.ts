// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../../../../machine.ts';
import { mm_struct, vm_area_struct } from '../../../../mm/mm_types.ts';
import { page_to_pfn } from '../../../../mm/page.ts';
import { folio_alloc } from '../../../../mm/page_alloc.ts';
import { folio_pte_batch } from '../../../../mm/util.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_RW,
  _PAGE_SOFT_DIRTY,
  _PAGE_USER,
  pfn_pte,
  ptdesc,
  pte_pfn,
} from './pgtable.ts';
import {
  clear_full_ptes,
  clear_young_dirty_ptes,
  folio_pte_batch_flags,
  get_and_clear_full_ptes,
  modify_prot_commit_ptes,
  modify_prot_start_ptes,
  ptep_set_access_flags,
  ptep_test_and_clear_young,
  set_ptes,
  test_and_clear_young_ptes,
  wrprotect_ptes,
} from './pte.ts';

const [YOUNG, CLEAN] = [1, 2];
const [RESPECT_DIRTY, RESPECT_SOFT_DIRTY, RESPECT_WRITE, MERGE_WRITE, MERGE_YOUNG_DIRTY] = [1, 2, 4, 8, 16];
const USER = _PAGE_PRESENT | _PAGE_USER | _PAGE_NX;
const ADDR = 0x200000000;

function setting(): { m: Machine; vma: vm_area_struct; mm: mm_struct; pt: ptdesc } {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  m.zone.add_span(0x10000, 0x10400);
  const mm = new mm_struct(m, 1, new ptdesc(4, 1));
  return { m, mm, vma: new vm_area_struct(mm, ADDR, ADDR + 0x200000), pt: new ptdesc(1, 2) };
}

t.test('a run of entries maps consecutive pages, and is changed without its neighbours', (t) => {
  const { m, mm, vma, pt } = setting();
  set_ptes(m, mm, ADDR, pt, 0, pfn_pte(100, USER | _PAGE_RW | _PAGE_ACCESSED), 6);
  t.same([...pt.entry.subarray(0, 7)].map(pte_pfn), [100, 101, 102, 103, 104, 105, 0]);
  wrprotect_ptes(m, mm, ADDR, pt, 1, 2);
  t.same(
    [...pt.entry.subarray(0, 4)].map((e) => e & _PAGE_RW),
    [_PAGE_RW, 0, 0, _PAGE_RW],
  );
  t.equal(test_and_clear_young_ptes(m, vma, ADDR, pt, 2, 2), true);
  t.equal(test_and_clear_young_ptes(m, vma, ADDR, pt, 2, 2), false);
  t.equal(ptep_test_and_clear_young(m, vma, ADDR, pt, 4), true);
  t.same(
    [...pt.entry.subarray(0, 6)].map((e) => e & _PAGE_ACCESSED),
    [8, 8, 0, 0, 0, 8],
  );
  clear_full_ptes(m, mm, ADDR, pt, 1, 4, false);
  t.same([...pt.entry.subarray(0, 6)].map(pte_pfn), [100, 0, 0, 0, 0, 105]);
  t.end();
});

t.test('what is taken out together is dirty and young if one of it was', (t) => {
  const { m, mm, vma, pt } = setting();
  set_ptes(m, mm, ADDR, pt, 5, pfn_pte(100, USER), 4);
  pt.entry[7] = pfn_pte(102, USER | _PAGE_DIRTY);
  pt.entry[8] = pfn_pte(103, USER | _PAGE_ACCESSED);
  t.equal(
    get_and_clear_full_ptes(m, mm, ADDR, pt, 5, 3, false),
    pfn_pte(100, USER | _PAGE_DIRTY | _PAGE_SOFT_DIRTY),
    'as far as asked',
  );
  t.same([...pt.entry.subarray(5, 9)], [0, 0, 0, pfn_pte(103, USER | _PAGE_ACCESSED)]);
  set_ptes(m, mm, ADDR, pt, 5, pfn_pte(100, USER), 3);
  const old = modify_prot_start_ptes(m, vma, ADDR, pt, 5, 4);
  t.equal(old, pfn_pte(100, USER | _PAGE_ACCESSED));
  t.same([...pt.entry.subarray(5, 9)], [0, 0, 0, 0], 'nobody sees them meanwhile');
  modify_prot_commit_ptes(m, vma, ADDR, pt, 5, old, pfn_pte(100, USER | _PAGE_RW), 4);
  t.equal(pt.entry[8], pfn_pte(103, USER | _PAGE_RW));
  t.end();
});

t.test('an access fault writes the entry only for a dirty one, and says whether it differs', (t) => {
  const { m, vma, pt } = setting();
  const [old, young, dirty] = [USER, USER | _PAGE_ACCESSED, USER | _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_RW].map((f) =>
    pfn_pte(9, f),
  );
  pt.entry[3] = old;
  t.equal(ptep_set_access_flags(m, vma, ADDR, pt, 3, young, false), true);
  t.equal(pt.entry[3], old, 'the hardware sets accessed itself');
  t.equal(ptep_set_access_flags(m, vma, ADDR, pt, 3, dirty, true), true);
  t.equal(pt.entry[3], dirty);
  t.equal(ptep_set_access_flags(m, vma, ADDR, pt, 3, dirty, true), false);
  t.end();
});

t.test('young and dirty go together or apart', (t) => {
  const { m, mm, vma, pt } = setting();
  const both = _PAGE_ACCESSED | _PAGE_DIRTY;
  set_ptes(m, mm, ADDR, pt, 0, pfn_pte(100, USER | both), 4);
  clear_young_dirty_ptes(m, vma, ADDR, pt, 0, 1, YOUNG);
  clear_young_dirty_ptes(m, vma, ADDR, pt, 1, 1, CLEAN);
  clear_young_dirty_ptes(m, vma, ADDR, pt, 2, 1, YOUNG | CLEAN);
  t.same(
    [...pt.entry.subarray(0, 4)].map((e) => e & both),
    [_PAGE_DIRTY, _PAGE_ACCESSED, 0, both],
  );
  t.equal(pte_pfn(pt.entry[1]), 101);
  t.end();
});

t.test('a batch ends with the folio, with the limit, and with the first entry that differs in what matters', (t) => {
  const { m, mm, vma, pt } = setting();
  const folio = folio_alloc(m, 0, 3);
  const pfn = page_to_pfn(m, folio);
  set_ptes(m, mm, ADDR, pt, 10, pfn_pte(pfn, USER), 12);
  const batch = (i: number, max: number, flags = 0): number =>
    folio_pte_batch_flags(m, folio, vma, pt, i, { pte: pt.entry[i] }, max, flags);
  t.equal(batch(10, 100), 8);
  t.equal(batch(13, 100), 5);
  t.equal(batch(10, 3), 3);
  t.equal(folio_pte_batch(m, folio, pt, 17, pt.entry[17], 100), 1);
  pt.entry[12] = pfn_pte(pfn + 2, USER | _PAGE_DIRTY);
  pt.entry[13] = pfn_pte(pfn + 3, USER | _PAGE_SOFT_DIRTY);
  pt.entry[14] = pfn_pte(pfn + 4, USER | _PAGE_RW);
  pt.entry[15] = pfn_pte(pfn + 5, USER | _PAGE_ACCESSED);
  t.same(
    [batch(10, 100), batch(10, 100, RESPECT_DIRTY), batch(10, 100, RESPECT_SOFT_DIRTY), batch(10, 100, RESPECT_WRITE)],
    [8, 2, 3, 4],
  );
  t.equal(batch(12, 100, RESPECT_DIRTY), 1, 'it counts for the first as well');
  pt.entry[16] = pfn_pte(pfn + 6, USER & ~_PAGE_NX);
  t.equal(batch(10, 100), 6);
  pt.entry[11] = pfn_pte(pfn + 2, USER);
  t.equal(batch(10, 100), 1, 'another page of the folio');
  pt.entry[11] = 0;
  t.equal(batch(10, 100), 1);
  t.end();
});

t.test('a batch hands the bits of the others to the first if asked to', (t) => {
  const { m, mm, vma, pt } = setting();
  const folio = folio_alloc(m, 0, 2);
  const pfn = page_to_pfn(m, folio);
  set_ptes(m, mm, ADDR, pt, 0, pfn_pte(pfn, USER), 4);
  pt.entry[1] = pfn_pte(pfn + 1, USER | _PAGE_RW);
  pt.entry[2] = pfn_pte(pfn + 2, USER | _PAGE_DIRTY);
  pt.entry[3] = pfn_pte(pfn + 3, USER | _PAGE_ACCESSED);
  const merged = (max: number, flags: number): number => {
    const ptent = { pte: pt.entry[0] };
    folio_pte_batch_flags(m, folio, vma, pt, 0, ptent, max, flags);
    return ptent.pte;
  };
  vma.vm_flags = 3;
  t.equal(merged(4, 0), pfn_pte(pfn, USER));
  t.equal(merged(4, MERGE_WRITE), pfn_pte(pfn, USER | _PAGE_RW));
  t.equal(merged(4, MERGE_YOUNG_DIRTY), pfn_pte(pfn, USER | _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SOFT_DIRTY));
  t.equal(merged(2, MERGE_YOUNG_DIRTY), pfn_pte(pfn, USER), 'only of those in the batch');
  t.end();
});
