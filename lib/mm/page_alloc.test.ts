// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../machine.ts';
import { folio_order, page_to_pfn, pfn_to_page, PGTY_buddy, PGTY_none, ZONE_DMA32, ZONE_NORMAL } from './page.ts';
import {
  __free_pages,
  alloc_page,
  alloc_pages,
  folio_alloc,
  free_bytes,
  free_frozen_pages,
  split_page,
} from './page_alloc.ts';

const [ZERO, COMP] = [0x100, 0x40000];
const START = 0x10000;
const MAX_ORDER = 10;

/** A machine of 2048 pages in two blocks of the highest order. */
function machine(start = START): Machine {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  m.zone.add_span(start, start + 2048);
  m.ram.set_linear(start, 2048, true);
  return m;
}

/** Free blocks of the lists by order; memory that was never handed out is on none. */
function free(m: Machine): number[] {
  return m.zone.free_area.map((list) => list.count);
}

t.test('a block is halved until it fits, and freeing joins the halves again', (t) => {
  const m = machine();
  const a = alloc_pages(m, 0, 0);
  t.equal(page_to_pfn(m, a), START, 'the lower half is used');
  t.same(free(m), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
  const b = alloc_pages(m, 0, 3);
  t.equal(page_to_pfn(m, b), START + 8);
  t.same(free(m), [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0]);
  t.equal(m.zone.nr_free, 2048 - 9);
  t.equal(free_bytes(m), (2048 - 9) * 4096);
  t.equal(m.page.page_type[a], PGTY_none);
  t.equal(m.page.page_type[a + 1], PGTY_buddy);
  __free_pages(m, a, 0);
  t.same(free(m), [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0], 'up to the block that is in use');
  __free_pages(m, b, 3);
  t.same(free(m), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  t.equal(m.zone.nr_free, 2048);
  t.end();
});

t.test('the block that was freed last is handed out first', (t) => {
  const m = machine();
  const pages = [0, 1, 2, 3, 4, 5].map(() => alloc_page(m, 0));
  t.same(
    pages.map((p) => page_to_pfn(m, p) - START),
    [0, 1, 2, 3, 4, 5],
  );
  __free_pages(m, pages[1], 0);
  __free_pages(m, pages[4], 0);
  t.equal(alloc_page(m, 0), pages[4]);
  t.equal(alloc_page(m, 0), pages[1]);
  t.end();
});

t.test('memory ends: the last block is handed out, the next request gets none', (t) => {
  const m = machine();
  t.not(alloc_pages(m, 0, MAX_ORDER), 0);
  const last = alloc_pages(m, 0, MAX_ORDER);
  t.equal(page_to_pfn(m, last), START + 1024);
  t.equal(alloc_page(m, 0), 0);
  t.equal(m.zone.nr_free, 0);
  __free_pages(m, last, MAX_ORDER);
  t.equal(alloc_page(m, 0), last);
  m.zone.fail_page_alloc = (order) => order === 2;
  t.equal(alloc_pages(m, 0, 2), 0);
  t.not(alloc_pages(m, 0, 1), 0);
  t.end();
});

t.test('a folio has one reference, a plain block one a page, and zeroed memory is zero', (t) => {
  const m = machine();
  const folio = folio_alloc(m, 0, 2);
  t.equal(folio_order(m, folio), 2);
  t.same([...m.page._refcount.subarray(folio, folio + 4)], [1, 0, 0, 0]);
  const plain = alloc_pages(m, 0, 2);
  t.equal(folio_order(m, plain), 0);
  t.same([...m.page._refcount.subarray(plain, plain + 4)], [1, 1, 1, 1]);
  split_page(m, plain, 2);
  __free_pages(m, plain + 3, 0);
  t.equal(m.page.page_type[plain + 3], PGTY_buddy);
  t.throws(() => split_page(m, folio, 2), { name: 'Oops' });

  m.ram.bytes(page_to_pfn(m, folio) + 3)[9] = 1;
  m.page.private[folio] = 5;
  m.page._refcount[folio] = 0;
  free_frozen_pages(m, folio, 2);
  const again = alloc_pages(m, ZERO | COMP, 2);
  t.equal(again, folio);
  t.equal(m.page.private[again], 0);
  t.equal(m.ram.bytes(page_to_pfn(m, again) + 3)[9], 0);
  t.end();
});

t.test('a page that is in use, mapped, locked or on a list cannot be freed, nor a free one', (t) => {
  const m = machine();
  const [a, b] = [alloc_page(m, 0), alloc_page(m, 0)];
  t.throws(() => free_frozen_pages(m, a, 0), /Bad page state.*refcount 1/);
  m.page._mapcount[a] = 0;
  t.throws(() => __free_pages(m, a, 0), /Bad page state.*mapcount 1/);
  m.page._mapcount[a] = -1;
  m.page.flags[a] = 1;
  t.throws(() => __free_pages(m, a, 0), /Bad page state.*locked/);
  m.page.flags[a] = 0;
  m.page.lru_next[a] = b;
  t.throws(() => __free_pages(m, a, 0), /Bad page state.*on a list/);
  m.page.lru_next[a] = 0;
  __free_pages(m, a, 0);
  t.throws(() => __free_pages(m, a, 0), /double free/);
  t.end();
});

t.test('pages below 4 GiB are of zone DMA32, those above of Normal', (t) => {
  const low = machine();
  const page = alloc_page(low, 0);
  t.same([low.page.zone[page], low.page.zone[page + 1023]], [ZONE_DMA32, ZONE_DMA32]);
  const high = machine(0x100000);
  t.equal(page_to_pfn(high, alloc_page(high, 0)), 0x100000);
  t.equal(high.page.zone[pfn_to_page(high, 0x100000 + 1023)], ZONE_NORMAL);
  t.end();
});
