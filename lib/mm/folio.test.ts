// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot } from '../boot.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { Oops } from '../kernel/printk.ts';
import { folio_add_lru, folio_put, lru_add_drain, lru_add_drain_all } from './folio.ts';
import { alloc_page } from './page_alloc.ts';
import { folio_isolate_lru, folio_putback_lru } from './vmscan.ts';

const KERNEL = 0xcc0;
const LRU = 1 << 3;
const INACTIVE_FILE = 2;

function build(): Machine {
  return boot({ mem: 64 * 1024 * 1024 });
}

t.test("a new folio stands in its CPU's batch, with a reference of the batch, until 31 are there", (t) => {
  const m = build();
  const folios = Array.from({ length: 31 }, () => alloc_page(m, KERNEL));
  for (const f of folios.slice(0, 30)) folio_add_lru(m, f);
  t.equal(m.page._refcount[folios[0]], 2);
  t.equal(m.page.flags[folios[0]] & LRU, 0);
  folio_add_lru(m, folios[30]);
  for (const f of folios) {
    t.equal(m.page._refcount[f], 1);
    t.ok(m.page.flags[f] & LRU);
  }
  t.equal(m.lru.lru_size[INACTIVE_FILE], 31);
  t.end();
});

t.test('lru_add_drain() empties the batches of its own CPU only', (t) => {
  const m = build();
  const mine = alloc_page(m, KERNEL);
  const theirs = alloc_page(m, KERNEL);
  folio_add_lru(m, mine);
  m.current.cpu = 1;
  folio_add_lru(m, theirs);
  m.current.cpu = 0;
  lru_add_drain(m);
  t.same([m.page._refcount[mine], m.page._refcount[theirs]], [1, 2]);
  const all: Gen<void> = lru_add_drain_all(m);
  while (!all.next().done);
  t.equal(m.page._refcount[theirs], 1);
  t.end();
});

t.test(
  'a folio whose last other reference goes while it is in a batch is freed by the drain and reaches no list',
  (t) => {
    const m = build();
    const free = m.zone.nr_free;
    const folio = alloc_page(m, KERNEL);
    folio_add_lru(m, folio);
    folio_put(m, folio);
    t.equal(m.zone.nr_free, free - 1);
    lru_add_drain(m);
    t.equal(m.zone.nr_free, free);
    t.equal(m.lru.lru_size[INACTIVE_FILE], 0);
    t.end();
  },
);

t.test('isolation takes a folio off its list once, with a reference, and putback queues it again', (t) => {
  const m = build();
  const folio = alloc_page(m, KERNEL);
  folio_add_lru(m, folio);
  t.notOk(folio_isolate_lru(m, folio), 'it is still in a batch');
  lru_add_drain(m);
  t.ok(folio_isolate_lru(m, folio));
  t.notOk(folio_isolate_lru(m, folio));
  t.equal(m.page._refcount[folio], 2);
  t.equal(m.lru.lru_size[INACTIVE_FILE], 0);
  folio_putback_lru(m, folio);
  lru_add_drain(m);
  t.equal(m.page._refcount[folio], 1);
  t.equal(m.lru.lru_size[INACTIVE_FILE], 1);
  folio_put(m, folio);
  t.equal(m.lru.lru_size[INACTIVE_FILE], 0, 'freed from the list');
  t.end();
});

t.test('to drop a reference that nobody has is a bug', (t) => {
  const m = build();
  const folio = alloc_page(m, KERNEL);
  folio_put(m, folio);
  t.throws(() => folio_put(m, folio), Oops);
  t.end();
});
