// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_add_lru, folio_put, lru_add_drain } from '../folio.ts';
import type { mm_struct } from '../mm_types.ts';
import { folio_get, PageList, pfn_to_page } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { alloc_migration_target, isolate_folio_to_list, migrate_pages, putback_movable_pages } from './pages.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const RW = 3;
const [SHARED_ANON, PRIVATE_ANON] = [0x31, 0x32];
const THREAD = 0x10500;
const [ASYNC, SYNC] = [0, 2];
const REASON = 7;
const ENOMEM = -12;
const [lru, active, dirty, large_rmappable] = [1 << 3, 1 << 4, 1 << 2, 1 << 18];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>, thp: 'never' | 'always' = 'never'): void {
  run_clean(t, small_machine({ thp }), body);
}

function folio_at(m: Machine, mm: mm_struct, addr: number): number {
  const { entry, level } = walk_address(mm, addr);
  return level === 'none' ? 0 : pfn_to_page(m, Math.floor(entry / 2 ** 20));
}

/** Isolates the folio on a list; the list holds the only new reference. */
function isolate(m: Machine, ...folios: number[]): PageList {
  const list = new PageList();
  lru_add_drain(m);
  for (const folio of folios) {
    folio_get(m, folio);
    t.ok(isolate_folio_to_list(m, folio, list));
    folio_put(m, folio);
  }
  return list;
}

t.test('a folio is isolated once, and put back where it was', (t) => {
  const m = small_machine();
  const folio = folio_alloc(m, 0, 0);
  const list = new PageList();
  t.notOk(isolate_folio_to_list(m, folio, list), 'it is on no LRU list');
  folio_add_lru(m, folio);
  lru_add_drain(m);
  t.ok(isolate_folio_to_list(m, folio, list));
  t.same([list.first, m.page._refcount[folio], m.page.flags[folio] & lru], [folio, 2, 0]);
  t.notOk(isolate_folio_to_list(m, folio, new PageList()));
  putback_movable_pages(m, list);
  lru_add_drain(m);
  t.same([list.first, m.page._refcount[folio], m.page.flags[folio] & lru], [0, 1, lru]);
  t.end();
});

t.test('private and shared pages move with what they hold, all of a list', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* sys_mmap(m, MAP + PAGE, PAGE, RW, SHARED_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    yield* user_store32(m, MAP + PAGE, 6);
    const old = [folio_at(m, mm, MAP), folio_at(m, mm, MAP + PAGE)] as [number, number];
    const list = isolate(m, ...old);
    t.equal(yield* migrate_pages(m, list, alloc_migration_target, null, SYNC, REASON), 0);
    t.equal(list.first, 0);
    t.not(folio_at(m, mm, MAP), old[0]);
    const shared = folio_at(m, mm, MAP + PAGE);
    t.not(shared, old[1]);
    t.equal(m.page.flags[shared] & dirty, dirty);
    t.same([yield* user_load32(m, MAP), yield* user_load32(m, MAP + PAGE)], [5, 6]);
    t.same([mm.rss_stat[1], mm.rss_stat[3]], [1, 1]);
  });
  t.end();
});

t.test('a locked folio is waited for, or is a failure if nobody may wait', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    const folio = folio_at(m, mm, MAP);
    const list = isolate(m, folio);
    yield* folio_lock(m, folio);
    let [made, unused] = [0, 0];
    const get = (m: Machine, src: number): number => (made++, alloc_migration_target(m, src));
    const put = (m: Machine, dst: number): void => (unused++, folio_put(m, dst));
    t.equal(yield* migrate_pages(m, list, get, put, ASYNC, REASON), 1);
    t.equal(list.first, folio, 'what failed stays on the list');
    t.ok(made > 0 && made === unused, 'targets go back to where they came from');
    let done = -1;
    yield* kernel_clone(m, THREAD, function* () {
      done = yield* migrate_pages(m, list, get, put, SYNC, REASON);
    });
    for (let i = 0; i < 5; i++) yield* sched_yield(m);
    t.equal(done, -1);
    folio_unlock(m, folio);
    while (done === -1) yield* sched_yield(m);
    t.equal(done, 0);
    t.not(folio_at(m, mm, MAP), folio);
  });
  t.end();
});

t.test('a folio that nobody else uses any more is freed, not moved', (t) => {
  const m = small_machine();
  const folio = folio_alloc(m, 0, 0);
  folio_add_lru(m, folio);
  const list = isolate(m, folio);
  m.page.flags[folio] |= active;
  folio_put(m, folio);
  const answer = migrate_pages(m, list, () => t.fail('no target is asked for') as never, null, SYNC, REASON).next();
  t.same(answer, { done: true, value: 0 });
  t.same([list.first, m.page._refcount[folio]], [0, 0]);
  t.end();
});

t.test('without memory nothing moves, but a huge folio is split and tried in pieces', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP + 9 * PAGE, 5);
    const folio = folio_at(m, mm, MAP);
    const target = alloc_migration_target(m, folio);
    t.same([m.page.order[target], m.page.flags[target] & large_rmappable], [9, large_rmappable]);
    folio_put(m, target);
    let list = isolate(m, folio);
    t.equal(
      yield* migrate_pages(
        m,
        list,
        (m, src) => (m.page.order[src] === 9 ? 0 : alloc_migration_target(m, src)),
        null,
        SYNC,
        REASON,
      ),
      0,
    );
    t.equal(list.first, 0);
    const small = folio_at(m, mm, MAP + 9 * PAGE);
    t.not(small, folio + 9);
    t.equal(walk_address(mm, MAP).level, 'pte');
    t.equal(yield* user_load32(m, MAP + 9 * PAGE), 5);
    t.equal(mm.rss_stat[1], 1, 'the other pieces were pages of zeroes');
    list = isolate(m, small);
    t.equal(yield* migrate_pages(m, list, () => 0, null, SYNC, REASON), ENOMEM);
    t.equal(folio_at(m, mm, MAP + 9 * PAGE), small);
    t.equal(list.first, small);
    putback_movable_pages(m, list);
  }, 'always');
  t.end();
});
