// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { ClearPageAnonExclusive, SetPageAnonExclusive } from '../page-flags.ts';
import { large } from '../page.ts';
import { __GFP_ZERO, alloc_page, folio_alloc, GFP_KERNEL } from '../page_alloc.ts';
import { folio_maybe_dma_pinned } from '../rmap/rmap.ts';
import { bare_machine } from '../testing.ts';
import {
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  gup_must_unshare,
  gup_put_folio,
  try_grab_folio,
  try_grab_folio_fast,
  unpin_user_page,
  unpin_user_pages,
  vm_fault_to_errno,
} from './pin.ts';
import t from 'tap';

/** include/linux/mm.h: GUP_PIN_COUNTING_BIAS */
const BIAS = 1024;
const ANON = 1;

function machine(): Machine {
  const m = bare_machine();
  m.zero_page = alloc_page(m, GFP_KERNEL | __GFP_ZERO);
  return m;
}

t.test('a pin of a single page is 1024 references, a plain get is one', (t) => {
  const m = machine();
  const page = alloc_page(m, GFP_KERNEL);
  t.equal(try_grab_folio(m, page, 1, FOLL_GET), 0);
  t.equal(m.page._refcount[page], 2);
  t.notOk(folio_maybe_dma_pinned(m, page));
  t.equal(try_grab_folio(m, page, 2, FOLL_PIN), 0);
  t.equal(m.page._refcount[page], 2 + 2 * BIAS);
  t.ok(folio_maybe_dma_pinned(m, page));
  unpin_user_page(m, page);
  gup_put_folio(m, page, 1, FOLL_PIN);
  t.equal(m.page._refcount[page], 2);
  t.end();
});

t.test('a large folio counts its pins apart, one reference each', (t) => {
  const m = machine();
  const folio = folio_alloc(m, GFP_KERNEL, 9);
  t.equal(try_grab_folio(m, folio, 512, FOLL_PIN), 0);
  t.same([m.page._refcount[folio], large(m, folio)._pincount], [513, 512]);
  t.equal(try_grab_folio_fast(m, folio + 7, 3, FOLL_PIN), folio, 'a tail page answers its folio');
  t.same([m.page._refcount[folio], large(m, folio)._pincount], [516, 515]);
  unpin_user_pages(
    m,
    Int32Array.from({ length: 512 }, (_, i) => folio + i),
    512,
  );
  gup_put_folio(m, folio, 3, FOLL_PIN);
  t.same([m.page._refcount[folio], large(m, folio)._pincount], [1, 0]);
  t.end();
});

t.test('the zero page is never pinned', (t) => {
  const m = machine();
  const before = m.page._refcount[m.zero_page];
  t.equal(try_grab_folio(m, m.zero_page, 1, FOLL_PIN), 0);
  t.equal(try_grab_folio_fast(m, m.zero_page, 1, FOLL_PIN), m.zero_page);
  unpin_user_page(m, m.zero_page);
  t.equal(m.page._refcount[m.zero_page], before);
  t.end();
});

t.test('a page without references can be grabbed neither way', (t) => {
  const m = machine();
  const page = alloc_page(m, GFP_KERNEL);
  m.page._refcount[page] = 0;
  t.equal(try_grab_folio_fast(m, page, 1, FOLL_GET), 0);
  t.equal(m.log.warnings.length, 0, 'the fast path may meet one');
  t.equal(try_grab_folio(m, page, 1, FOLL_GET), -12);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['try_grab_folio'],
    'the slow path may not',
  );
  t.end();
});

t.test('a read-only pin wants an anonymous page for itself', (t) => {
  const m = machine();
  const page = alloc_page(m, GFP_KERNEL);
  m.page.mapping[page] = (1 << 2) | ANON;
  t.ok(gup_must_unshare(m, null, FOLL_PIN, page));
  t.notOk(gup_must_unshare(m, null, FOLL_PIN | FOLL_WRITE, page), 'a write has the page writable anyway');
  t.notOk(gup_must_unshare(m, null, FOLL_GET, page));
  SetPageAnonExclusive(m, page);
  t.notOk(gup_must_unshare(m, null, FOLL_PIN, page));
  ClearPageAnonExclusive(m, page);
  m.page.mapping[page] = 1 << 2;
  t.notOk(gup_must_unshare(m, null, FOLL_PIN, page), 'a file page only for long');
  t.ok(gup_must_unshare(m, null, FOLL_PIN | FOLL_LONGTERM, page));
  t.end();
});

t.test('fault results turn into errno', (t) => {
  t.equal(vm_fault_to_errno(0x1, 0), -12);
  t.equal(vm_fault_to_errno(0x2, 0), -14);
  t.equal(vm_fault_to_errno(0x40, 0), -14);
  t.equal(vm_fault_to_errno(0x10, 0), -14);
  t.equal(vm_fault_to_errno(0x10, 1 << 6), -133);
  t.equal(vm_fault_to_errno(0x400, 0), 0);
  t.end();
});
