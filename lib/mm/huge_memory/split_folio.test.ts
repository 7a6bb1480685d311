// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import type { mm_struct } from '../mm_types.ts';
import {
  folio_clear_swapcache,
  folio_clear_writeback,
  folio_set_swapcache,
  folio_set_writeback,
  folio_test_large_rmappable,
  folio_test_locked,
  folio_test_lru,
  PageAnonExclusive,
} from '../page-flags.ts';
import { folio_get, folio_order, list_del, PageList } from '../page.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { release } from '../testing.ts';
import { folio_isolate_lru, folio_putback_lru } from '../vmscan.ts';
import {
  folio_check_splittable,
  folio_split,
  folio_split_unmapped,
  split_folio_to_list,
  split_huge_page,
  split_huge_page_to_order,
} from './split_folio.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [RW, PRIVATE_ANON_FIXED] = [3, 0x32];
const [EAGAIN, EBUSY, EINVAL] = [-11, -16, -22];
const [UNIFORM, NON_UNIFORM] = [0, 1];
const TTU_SPLIT_HUGE_PMD = 4;
/** Indexes of a folio order's 22 counters. */
const [SPLIT, SPLIT_FAILED, NR_ANON] = [14, 15, 17];

/** Runs `body` with a mapped huge folio, written to in every page and locked. */
function run(body: (m: Machine, folio: number) => Gen<void>): void {
  run_clean(t, small_machine({ thp: 'always' }), function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    for (let i = 0; i < 512; i++) yield* user_store32(m, MAP + i * PAGE, i + 1);
    yield* lru_add_drain_all(m);
    const folio = m.page.pfn_to_page(pte_pfn(walk_address(mm, MAP).entry));
    yield* folio_lock(m, folio);
    yield* body(m, folio);
    for (const i of [0, 5, 511]) t.equal(yield* user_load32(m, MAP + i * PAGE), i + 1);
  });
}

const stat = (m: Machine, order: number, item: number): number => m.thp.mthp_stats[order * 22 + item];

t.test('single pages: each keeps its mapping, and lock and reference pass to the page asked for', async (t) => {
  run(function* (m, folio) {
    folio_get(m, folio);
    t.equal(yield* split_huge_page(m, folio + 5), 0);
    t.same(
      [0, 4, 5, 6].map((i) => folio_test_locked(m, folio + i)),
      [false, false, true, false],
    );
    t.same(
      [0, 5, 511].map((i) => m.page._refcount[folio + i]),
      [1, 2, 1],
    );
    for (const i of [0, 5, 511]) {
      t.same([folio_order(m, folio + i), folio_mapcount(m, folio + i), PageAnonExclusive(m, folio + i)], [0, 1, true]);
      t.ok(folio_test_lru(m, folio + i));
    }
    t.same([m.thp.vm_events.get('THP_SPLIT_PAGE'), stat(m, 9, SPLIT), stat(m, 9, NR_ANON)], [1, 1, 0]);
    t.equal(m.thp.deferred_split_lru.size, 0);
    release(m, folio + 5);
  });
});

t.test('larger parts stay large folios', async (t) => {
  run(function* (m, folio) {
    folio_get(m, folio);
    t.equal(yield* split_huge_page_to_order(m, folio, 4), 0);
    t.same(
      [0, 16, 496].map((i) => [folio_order(m, folio + i), folio_mapcount(m, folio + i)]),
      [
        [4, 16],
        [4, 16],
        [4, 16],
      ],
    );
    t.ok(folio_test_large_rmappable(m, folio + 496));
    t.equal(m.page.index[folio + 16], MAP / PAGE + 16);
    t.same([stat(m, 9, NR_ANON), stat(m, 4, NR_ANON)], [0, 32]);
    t.equal(m.page._refcount[folio], 17);
    t.equal(yield* split_huge_page_to_order(m, folio, 4), EINVAL, 'not any more');
    t.equal(yield* folio_split(m, folio, 0, folio + 9, null), 0);
    const orders: number[] = [];
    for (let f = folio; f < folio + 16; f += 1 << folio_order(m, f)) orders.push(folio_order(m, f));
    t.same(orders, [3, 0, 0, 0, 0, 2], 'only around the page');
    release(m, folio);
  });
});

t.test('tails go to a list of the caller with a reference', async (t) => {
  run(function* (m, folio) {
    t.ok(folio_isolate_lru(m, folio));
    const list = new PageList();
    t.equal(yield* split_folio_to_list(m, folio, list), 0);
    let n = 0;
    while (list.first !== 0) {
      const tail = list.first;
      list_del(m, tail, list);
      if (tail !== folio + ++n || m.page._refcount[tail] !== 2 || folio_test_lru(m, tail)) t.fail(`tail ${n}`);
      folio_putback_lru(m, tail);
    }
    t.equal(n, 511);
    folio_unlock(m, folio);
    folio_putback_lru(m, folio);
  });
});

t.test('obstacles: a passing one is -EBUSY or -EAGAIN, a lasting one -EINVAL', async (t) => {
  run(function* (m, folio) {
    t.equal(folio_check_splittable(m, folio, 0, UNIFORM), 0);
    t.equal(folio_check_splittable(m, folio, 1, UNIFORM), EINVAL, 'no anonymous folio has two pages');
    folio_set_writeback(m, folio);
    t.equal(folio_check_splittable(m, folio, 0, UNIFORM), EBUSY);
    folio_clear_writeback(m, folio);
    folio_set_swapcache(m, folio);
    t.equal(folio_check_splittable(m, folio, 0, UNIFORM), 0);
    t.equal(folio_check_splittable(m, folio, 2, UNIFORM), EINVAL);
    t.equal(folio_check_splittable(m, folio, 0, NON_UNIFORM), EINVAL);
    folio_clear_swapcache(m, folio);
    folio_get(m, folio);
    folio_get(m, folio);
    t.equal(yield* split_huge_page(m, folio), EAGAIN, 'one reference too many');
    t.same([m.thp.vm_events.get('THP_SPLIT_PAGE_FAILED'), stat(m, 9, SPLIT_FAILED)], [1, 1]);
    t.equal(walk_address(m.current.mm as mm_struct, MAP).level, 'pmd');
    folio_put(m, folio);
    release(m, folio);
  });
});

t.test('an unmapped folio is split in place, all parts staying locked', async (t) => {
  run(function* (m, folio) {
    t.ok(folio_isolate_lru(m, folio));
    yield* try_to_migrate(m, folio, TTU_SPLIT_HUGE_PMD);
    folio_get(m, folio);
    t.equal(folio_split_unmapped(m, folio, 0), EAGAIN);
    t.equal(folio_order(m, folio), 9);
    folio_put(m, folio);
    t.equal(folio_split_unmapped(m, folio, 0), 0);
    for (const f of [folio, folio + 1, folio + 511])
      t.same([folio_order(m, f), folio_test_locked(m, f), m.page._refcount[f]], [0, true, 1]);
    for (let f = folio; f < folio + 512; f++) {
      yield* remove_migration_ptes(m, f, f, 0);
      folio_unlock(m, f);
      folio_putback_lru(m, f);
    }
  });
});
