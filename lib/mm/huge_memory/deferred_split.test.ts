// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { folio_set_large_rmappable, folio_set_swapcache, folio_test_partially_mapped } from '../page-flags.ts';
import { folio_ref_freeze } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { bare_machine } from '../testing.ts';
import { deferred_split_del, deferred_split_folio, folio_unqueue_deferred_split } from './deferred_split.ts';
import t from 'tap';

/** Indexes of a folio order's 22 counters. */
const [SPLIT_DEFERRED, NR_ANON_PARTIALLY_MAPPED] = [16, 18];

function rmappable(m: Machine, order: number): number {
  const folio = folio_alloc(m, 0, order);
  folio_set_large_rmappable(m, folio);
  return folio;
}

const stat = (m: Machine, order: number, item: number): number => m.thp.mthp_stats[order * 22 + item];

t.test('a partly mapped folio is queued and counted once', async (t) => {
  const m = bare_machine();
  const folio = rmappable(m, 9);
  for (let i = 0; i < 2; i++) deferred_split_folio(m, folio, true);
  t.same([...m.thp.deferred_split_lru], [folio]);
  t.ok(folio_test_partially_mapped(m, folio));
  t.equal(m.thp.vm_events.get('THP_DEFERRED_SPLIT_PAGE'), 1);
  t.same([stat(m, 9, SPLIT_DEFERRED), stat(m, 9, NR_ANON_PARTIALLY_MAPPED)], [1, 1]);
  const smaller = rmappable(m, 4);
  deferred_split_folio(m, smaller, true);
  t.equal(m.thp.vm_events.get('THP_DEFERRED_SPLIT_PAGE'), 1, 'the event is of 2 MiB folios only');
  t.equal(stat(m, 4, SPLIT_DEFERRED), 1);
});

t.test('an entirely mapped folio is queued while underused ones may be split, and never counted', async (t) => {
  const m = bare_machine();
  const [a, b] = [rmappable(m, 9), rmappable(m, 9)];
  deferred_split_folio(m, a, false);
  m.thp.split_underused_thp = false;
  deferred_split_folio(m, b, false);
  t.same([...m.thp.deferred_split_lru], [a]);
  t.equal(stat(m, 9, SPLIT_DEFERRED), 0);
  deferred_split_folio(m, a, true);
  t.same(
    [stat(m, 9, SPLIT_DEFERRED), stat(m, 9, NR_ANON_PARTIALLY_MAPPED)],
    [1, 1],
    'on the queue already, it is counted now',
  );
  t.same(m.log.warnings, []);
  m.thp.split_underused_thp = true;
  deferred_split_folio(m, a, false);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['deferred_split_folio'],
    'it cannot become entirely mapped again',
  );
});

t.test('folios of one or two pages and those in the swap cache are left alone', async (t) => {
  const m = bare_machine();
  const swapped = rmappable(m, 9);
  folio_set_swapcache(m, swapped);
  for (const folio of [folio_alloc(m, 0, 0), rmappable(m, 1), swapped]) deferred_split_folio(m, folio, true);
  t.equal(m.thp.deferred_split_lru.size, 0);
  t.notOk(folio_test_partially_mapped(m, swapped));
});

t.test('a folio that is freed leaves the queue and is uncounted', async (t) => {
  const m = bare_machine();
  const folio = rmappable(m, 9);
  t.notOk(deferred_split_del(m, folio));
  t.notOk(folio_unqueue_deferred_split(m, folio));
  deferred_split_folio(m, folio, true);
  t.ok(folio_ref_freeze(m, folio, 1));
  t.ok(folio_unqueue_deferred_split(m, folio));
  t.equal(m.thp.deferred_split_lru.size, 0);
  t.notOk(folio_test_partially_mapped(m, folio));
  t.same([stat(m, 9, SPLIT_DEFERRED), stat(m, 9, NR_ANON_PARTIALLY_MAPPED)], [1, 0]);
  t.same(m.log.warnings, []);
  const used = rmappable(m, 9);
  deferred_split_folio(m, used, true);
  folio_unqueue_deferred_split(m, used);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['__folio_unqueue_deferred_split'],
    'a folio with references is not to be unqueued so',
  );
});
