// SPDX-License-Identifier: GPL-2.0-only

import { Machine } from '../machine.ts';
import {
  folio_clear_dirty,
  folio_set_lru,
  folio_test_clear_lru,
  folio_test_dirty,
  folio_test_set_dirty,
  folio_test_uptodate,
  PG_head,
  PG_large_rmappable,
  PG_uptodate,
  set_flags,
  test_flags,
} from './page-flags.ts';
import {
  folio_get,
  folio_nr_pages,
  folio_order,
  folio_ref_count,
  folio_ref_freeze,
  folio_ref_unfreeze,
  folio_size,
  folio_try_get,
  large,
  list_add,
  list_add_before,
  list_add_tail,
  list_del,
  page_folio,
  page_to_pfn,
  PageCompound,
  PageList,
  PageTail,
  pfn_folio,
  pfn_to_page,
} from './page.ts';
import { destroy_compound_page, prep_compound_page } from './page_alloc.ts';
import t from 'tap';

const SECTION = 32768;

function machine(): Machine {
  return new Machine({ mem: 64 * 1024 * 1024 });
}

function rows(m: Machine, list: PageList): number[] {
  const found: number[] = [];
  let last = 0;
  for (let page = list.first; page !== 0; page = m.page.lru_next[page]) {
    if (m.page.lru_prev[page] !== last) throw new Error(`page ${page} does not lead back to ${last}`);
    found.push(page);
    last = page;
  }
  if (list.last !== last || list.count !== found.length) throw new Error('the list does not know its own end');
  return found;
}

t.test('a section of struct pages is made when a pfn of it is first asked for, in whatever order', (t) => {
  const m = machine();
  const high = pfn_to_page(m, 5 * SECTION + 7);
  const low = pfn_to_page(m, SECTION - 1);
  t.equal(m.page.rows, 3 * SECTION, 'two sections, and the one that stands for no page');
  t.equal(pfn_to_page(m, 5 * SECTION), high - 7);
  t.equal(page_to_pfn(m, high), 5 * SECTION + 7);
  t.equal(page_to_pfn(m, low), SECTION - 1);
  t.equal(m.page._mapcount[low], -1, 'a page starts unmapped');
  t.equal(m.page._refcount[low], 0);
  t.throws(() => page_to_pfn(m, 5), { name: 'Oops' }, 'row 5 is no page');
  const own = m.page.add_section(-1);
  t.throws(() => page_to_pfn(m, own), { name: 'Oops' });
  t.end();
});

t.test('a column keeps its contents when the memory map grows', (t) => {
  const m = machine();
  const page = pfn_to_page(m, 3);
  m.page.index[page] = 2 ** 40 + 1;
  m.page.flags[page] = 0x80000001;
  for (let s = 1; s < 66; s++) pfn_to_page(m, s * SECTION);
  t.equal(m.page.index[page], 2 ** 40 + 1);
  t.equal(m.page.flags[page], 0x80000001);
  t.equal(page_to_pfn(m, pfn_to_page(m, 65 * SECTION + 1)), 65 * SECTION + 1);
  t.end();
});

t.test('pages become a folio and single pages again', (t) => {
  const m = machine();
  const head = pfn_to_page(m, 512);
  prep_compound_page(m, head, 3);
  set_flags(m, head, PG_large_rmappable | PG_uptodate);
  t.equal(page_folio(m, head + 7), head);
  t.equal(page_folio(m, head + 8), head + 8, 'the page behind it is another');
  t.equal(pfn_folio(m, 519), head);
  t.same([folio_order(m, head), folio_nr_pages(m, head), folio_size(m, head)], [3, 8, 32768]);
  t.same([PageTail(m, head), PageTail(m, head + 1), PageCompound(m, head)], [false, true, true]);
  t.equal(large(m, head)._entire_mapcount, -1);
  t.throws(() => large(m, head + 1), { name: 'Oops' });
  destroy_compound_page(m, head);
  t.equal(page_folio(m, head + 7), head + 7);
  t.equal(folio_nr_pages(m, head), 1);
  t.notOk(test_flags(m, head, PG_head | PG_large_rmappable));
  t.ok(folio_test_uptodate(m, head));
  t.throws(() => large(m, head), { name: 'Oops' });
  t.end();
});

t.test('flags and references', (t) => {
  const m = machine();
  const page = pfn_to_page(m, 1);
  t.equal(folio_test_set_dirty(m, page), false);
  t.equal(folio_test_set_dirty(m, page), true);
  folio_set_lru(m, page);
  t.equal(folio_test_clear_lru(m, page), true);
  t.equal(folio_test_clear_lru(m, page), false);
  t.ok(folio_test_dirty(m, page), 'others stay');
  folio_clear_dirty(m, page);
  t.equal(m.page.flags[page], 0);

  t.notOk(folio_try_get(m, page), 'a free page cannot be had');
  t.throws(() => folio_get(m, page), { name: 'Oops' });
  m.page._refcount[page] = 2;
  t.ok(folio_try_get(m, page));
  t.notOk(folio_ref_freeze(m, page, 2));
  t.equal(folio_ref_count(m, page), 3);
  t.ok(folio_ref_freeze(m, page, 3));
  t.notOk(folio_try_get(m, page), 'nor can a frozen one');
  folio_ref_unfreeze(m, page, 3);
  t.equal(folio_ref_count(m, page), 3);
  t.end();
});

t.test('lists keep order, ends and length', (t) => {
  const m = machine();
  const a = pfn_to_page(m, 10);
  const [b, c, d] = [a + 1, a + 2, a + 3];
  const list = new PageList();
  list_add(m, b, list);
  list_add(m, a, list);
  list_add_tail(m, d, list);
  list_add_before(m, c, d, list);
  t.same(rows(m, list), [a, b, c, d]);
  list_del(m, b, list);
  t.same(rows(m, list), [a, c, d]);
  list_add_before(m, b, a, list);
  list_del(m, d, list);
  t.same(rows(m, list), [b, a, c]);
  t.throws(() => list_del(m, d, list), { name: 'Oops' });
  for (const page of [b, c, a]) list_del(m, page, list);
  t.same(rows(m, list), []);
  t.end();
});

t.test('a walk over rows finds what is referenced and what is part of a folio, and nothing else', (t) => {
  const m = machine();
  const base = pfn_to_page(m, 0);
  m.page._refcount[base + 5] = 1;
  m.page._refcount[base + 64] = 1;
  prep_compound_page(m, base + 64, 2);
  const seen: number[] = [];
  m.page.for_each_used(base, base + 128, (page) => seen.push(page - base));
  t.same(seen, [5, 64, 65, 66, 67]);
  t.end();
});
