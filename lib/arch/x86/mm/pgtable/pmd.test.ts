// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../../../../machine.ts';
import { mm_struct, vm_area_struct } from '../../../../mm/mm_types.ts';
import { page_to_pfn } from '../../../../mm/page.ts';
import { folio_alloc } from '../../../../mm/page_alloc.ts';
import { pmdp_collapse_flush, pmdp_huge_clear_flush, pmdp_invalidate } from '../../../../mm/pgtable-generic.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_SOFT_DIRTY,
  _PAGE_TABLE,
  _PAGE_UFFD_WP,
  _PAGE_USER,
  pfn_pte,
  pmd_present,
  pmd_trans_huge,
  ptdesc,
} from './pgtable.ts';
import {
  folio_mk_pmd,
  huge_pmd_needs_flush,
  pmd_page,
  pmdp_clear_flush_young,
  pmdp_invalidate_ad,
  pmdp_set_access_flags,
  pmdp_set_wrprotect,
  pmdp_test_and_clear_young,
} from './pmd.ts';

const HUGE = 2 * 1024 * 1024;
const ADDR = 0x200000000;
const USER = _PAGE_PRESENT | _PAGE_USER | _PAGE_PSE;
const FULL = USER | _PAGE_RW | _PAGE_DIRTY | _PAGE_ACCESSED;

function setting(entry: number): { m: Machine; vma: vm_area_struct; pmdt: ptdesc; flushes: () => number } {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  m.zone.add_span(0x10000, 0x10400);
  const mm = new mm_struct(m, 1, new ptdesc(4, 1));
  const pmdt = new ptdesc(2, 2);
  pmdt.entry[4] = entry;
  let last = m.tlb_flushes;
  const flushes = (): number => {
    const n = m.tlb_flushes - last;
    last = m.tlb_flushes;
    return n;
  };
  return { m, vma: new vm_area_struct(mm, ADDR, ADDR + 2 * HUGE), pmdt, flushes };
}

t.test('an invalidated huge entry is still huge and keeps its page, but the hardware has it no more', (t) => {
  for (const [invalidate, n] of [
    [pmdp_invalidate, 1],
    [pmdp_invalidate_ad, 0],
  ] as const) {
    const { m, vma, pmdt, flushes } = setting(pfn_pte(512, FULL));
    t.equal(invalidate(m, vma, ADDR, pmdt, 4), pfn_pte(512, FULL), 'the old entry is answered');
    const now = pmdt.entry[4];
    t.equal(now, pfn_pte(512, FULL & ~_PAGE_PRESENT));
    t.same([pmd_present(now), pmd_trans_huge(now)], [true, true]);
    t.equal(flushes(), n);
    t.same(m.log.warnings, []);
    pmdt.entry[4] = 0;
    invalidate(m, vma, ADDR, pmdt, 4);
    t.same(
      m.log.warnings.map((w) => w.fn),
      [invalidate.name],
      'there is nothing to invalidate',
    );
  }
  t.end();
});

t.test('to empty a huge entry drops its translations, and so does taking a page table out for a collapse', (t) => {
  const { m, vma, pmdt, flushes } = setting(pfn_pte(512, FULL));
  t.equal(pmdp_huge_clear_flush(m, vma, ADDR, pmdt, 4), pfn_pte(512, FULL));
  t.equal(pmdt.entry[4], 0);
  t.equal(flushes(), 1);
  t.throws(() => pmdp_huge_clear_flush(m, vma, ADDR + 4096, pmdt, 4), { name: 'Oops' });
  const pt = new ptdesc(1, 3);
  const table = pfn_pte(3, _PAGE_TABLE | _PAGE_PRESENT | _PAGE_USER);
  pmdt.entry[4] = table;
  (pmdt.child as (ptdesc | null)[])[4] = pt;
  t.throws(() => pmdp_huge_clear_flush(m, vma, ADDR, pmdt, 4), { name: 'Oops' }, 'of a table');
  t.equal(pmdp_collapse_flush(m, vma, ADDR, pmdt, 4), table);
  t.same([pmdt.entry[4], pmdt.child?.[4]], [0, null]);
  t.equal(flushes(), 1);
  pmdt.entry[4] = pfn_pte(512, FULL);
  t.throws(() => pmdp_collapse_flush(m, vma, ADDR, pmdt, 4), { name: 'Oops' }, 'of what is huge already');
  t.end();
});

t.test('accessed is cleared with a flush only by the one that flushes, and only if it was set', (t) => {
  const { m, vma, pmdt, flushes } = setting(pfn_pte(512, FULL));
  t.equal(pmdp_test_and_clear_young(m, vma, ADDR, pmdt, 4), true);
  t.equal(pmdt.entry[4], pfn_pte(512, FULL & ~_PAGE_ACCESSED));
  t.equal(pmdp_clear_flush_young(m, vma, ADDR, pmdt, 4), false);
  t.equal(flushes(), 0);
  pmdt.entry[4] = pfn_pte(512, FULL);
  t.equal(pmdp_clear_flush_young(m, vma, ADDR, pmdt, 4), true);
  t.equal(flushes(), 1);
  pmdp_set_wrprotect(m, vma.vm_mm, ADDR, pmdt, 4);
  t.equal(pmdt.entry[4], pfn_pte(512, FULL & ~(_PAGE_ACCESSED | _PAGE_RW)));
  t.equal(pmdp_set_access_flags(m, vma, ADDR, pmdt, 4, pfn_pte(512, FULL), false), true);
  t.equal(pmdt.entry[4], pfn_pte(512, FULL & ~(_PAGE_ACCESSED | _PAGE_RW)), 'only a write fault writes it');
  t.equal(pmdp_set_access_flags(m, vma, ADDR, pmdt, 4, pfn_pte(512, FULL), true), true);
  t.equal(pmdp_set_access_flags(m, vma, ADDR, pmdt, 4, pfn_pte(512, FULL), true), false);
  t.throws(() => pmdp_set_access_flags(m, vma, ADDR + 4096, pmdt, 4, 0, true), { name: 'Oops' });
  t.equal(flushes(), 0);
  t.end();
});

t.test('a flush is needed when something is taken away', (t) => {
  const to = (newflags: number, oldflags = FULL): boolean =>
    huge_pmd_needs_flush(pfn_pte(512, oldflags), pfn_pte(512, newflags));
  t.equal(to(FULL), false);
  t.equal(huge_pmd_needs_flush(pfn_pte(512, FULL), pfn_pte(1024, FULL)), true, 'another page');
  for (const gone of [_PAGE_DIRTY, _PAGE_ACCESSED, _PAGE_PRESENT, _PAGE_RW]) t.equal(to(FULL & ~gone), true);
  t.equal(to(FULL, FULL & ~(_PAGE_DIRTY | _PAGE_ACCESSED)), false, 'the hardware may set these by itself');
  t.equal(to(FULL, FULL & ~_PAGE_RW), true);
  t.equal(to(FULL | _PAGE_NX), true);
  t.equal(to(FULL | _PAGE_SOFT_DIRTY | _PAGE_UFFD_WP), false, 'the hardware does not know these');
  t.equal(to(FULL, _PAGE_PROTNONE | _PAGE_PSE), false, 'what was not present is in no TLB');
  t.end();
});

t.test('a huge entry of a folio leads back to it', (t) => {
  const { m } = setting(0);
  const folio = folio_alloc(m, 0, 9);
  const pmd = folio_mk_pmd(m, folio, _PAGE_PRESENT | _PAGE_USER);
  t.equal(pmd, pfn_pte(page_to_pfn(m, folio), USER));
  t.equal(pmd_page(m, pmd), folio);
  t.end();
});
