// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { do_sys_open, ksys_ftruncate } from '../../fs/open.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { xorshift32 } from '../../kernel/sched/core.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain } from '../folio.ts';
import { swp_type } from '../leafops.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_mprotect } from '../mprotect.ts';
import { folio_clear_dirty } from '../page-flags.ts';
import { folio_get } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { leaf_at, page_at, release } from '../testing.ts';
import { folio_copy } from '../util.ts';
import { folio_migrate_flags, folio_migrate_mapping, remove_migration_ptes } from './entry.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const RW = 3;
const [SHARED, PRIVATE_ANON] = [0x11, 0x32];
const THREAD = 0x10500;
const [PTE_RW, ACCESSED, DIRTY, SPECIAL, SOFT_DIRTY] = [2, 8, 16, 128, 256];
const [
  uptodate,
  dirty,
  active,
  referenced,
  swapbacked,
  anon_exclusive,
  priv,
  unevictable,
  swapcache,
  workingset,
  young,
] = [1 << 1, 1 << 2, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 9, 1 << 11, 1 << 13, 1 << 16, 1 << 20];
const USE_SHARED_ZEROPAGE = 2;
const EAGAIN = -11;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine(), body);
}

/** Unmaps a folio, which is locked and referenced afterwards. */
function* unmap(m: Machine, folio: number): Gen<void> {
  lru_add_drain(m);
  folio_get(m, folio);
  yield* folio_lock(m, folio);
  yield* try_to_migrate(m, folio, 0);
}

t.test('an entry comes back from migration as old, clean, read-only and soft-dirty as it was', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    const folio = page_at(m, mm, MAP);
    const full = leaf_at(mm, MAP).entry;
    t.equal(full & (PTE_RW | ACCESSED | DIRTY | SOFT_DIRTY), PTE_RW | ACCESSED | DIRTY | SOFT_DIRTY);
    for (const without of [0, ACCESSED, DIRTY, SOFT_DIRTY, PTE_RW | DIRTY, PTE_RW | ACCESSED | DIRTY | SOFT_DIRTY]) {
      const { table, index } = leaf_at(mm, MAP);
      table.entry[index] = full - without;
      yield* unmap(m, folio);
      t.equal(swp_type(leaf_at(mm, MAP).entry), without & PTE_RW ? 0x1a : 0x1b);
      t.same([folio_mapcount(m, folio), mm.rss_stat[1]], [0, 1], 'the counter of pages stays');
      yield* remove_migration_ptes(m, folio, folio, 0);
      t.equal(leaf_at(mm, MAP).entry, full - without);
      t.equal(m.page.flags[folio] & anon_exclusive, anon_exclusive);
      release(m, folio);
    }
  });
  t.end();
});

t.test("who faults on a migration entry waits for the folio's lock", (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    const folio = page_at(m, mm, MAP);
    yield* unmap(m, folio);
    let value = 0;
    yield* kernel_clone(m, THREAD, function* () {
      value = yield* user_load32(m, MAP);
    });
    for (let i = 0; i < 5; i++) yield* sched_yield(m);
    t.same([value, m.page._refcount[folio]], [0, 1], 'and holds nothing');
    yield* remove_migration_ptes(m, folio, folio, 0);
    release(m, folio);
    while (value === 0) yield* sched_yield(m);
    t.equal(value, 5);
  });
  t.end();
});

t.test('a page of zeroes may come back as the page of zeroes', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    for (const n of [0, 1]) {
      yield* user_store32(m, MAP + n * PAGE, n);
      const folio = page_at(m, mm, MAP + n * PAGE);
      yield* unmap(m, folio);
      yield* remove_migration_ptes(m, folio, folio, USE_SHARED_ZEROPAGE);
      t.equal(page_at(m, mm, MAP + n * PAGE), n === 0 ? m.zero_page : folio);
      t.equal(leaf_at(mm, MAP + n * PAGE).entry & SPECIAL, n === 0 ? SPECIAL : 0);
      t.equal(mm.rss_stat[1], n);
      release(m, folio);
    }
  });
  t.end();
});

t.test("a folio takes the other one's place, in the page cache too, if nobody else holds that", (t) => {
  run(function* (m, mm) {
    const fd = yield* do_sys_open(m, '/tmp', 0o20200002, 0o600);
    yield* ksys_ftruncate(m, fd, 8 * PAGE);
    yield* sys_mmap(m, MAP, 8 * PAGE, RW, SHARED, fd, 0);
    yield* user_store32(m, MAP + 3 * PAGE, 5);
    const src = page_at(m, mm, MAP + 3 * PAGE);
    const mapping = mm.mm_mt.find((v) => v.vm_start === MAP)?.vm_file?.f_mapping ?? null;
    yield* unmap(m, src);
    const dst = folio_alloc(m, 0, 0);
    yield* folio_lock(m, dst);
    t.equal(m.page._refcount[src], 2);
    folio_get(m, src);
    t.equal(folio_migrate_mapping(m, mapping, dst, src, 0), EAGAIN);
    t.equal(mapping?.i_pages.get(3), src);
    t.equal(m.page.flags[src] & dirty, dirty);
    t.equal(folio_migrate_mapping(m, mapping, dst, src, 1), 0, 'a reference that the caller knows of');
    t.equal(mapping?.i_pages.get(3), dst);
    t.same([m.page._refcount[dst], m.page._refcount[src]], [2, 2]);
    t.same([m.page.index[dst], m.page.mapping[dst]], [3, m.page.mapping[src]]);
    t.equal(m.page.flags[dst] & (dirty | swapbacked), dirty | swapbacked);
    t.equal(m.page.flags[src] & dirty, 0);
    folio_copy(m, dst, src);
    folio_migrate_flags(m, dst, src);
    m.page.mapping[src] = 0;
    yield* remove_migration_ptes(m, src, dst, 0);
    t.equal(page_at(m, mm, MAP + 3 * PAGE), dst);
    folio_put(m, src);
    release(m, src);
    t.equal(m.page._refcount[src], 0);
    release(m, dst);
    t.equal(yield* user_load32(m, MAP + 3 * PAGE), 5);
  });
  t.end();
});

t.test('flags that go along, and flags that stay behind', (t) => {
  const m = small_machine();
  const [src, dst] = [folio_alloc(m, 0, 0), folio_alloc(m, 0, 0)];
  m.page.flags[dst] = 0;
  const both = uptodate | dirty | referenced | workingset | young;
  m.page.flags[src] = both | active | priv | swapcache | swapbacked;
  m.page.private[src] = 77;
  folio_migrate_flags(m, dst, src);
  t.equal(m.page.flags[dst], both | active, 'swapbacked comes with the mapping');
  t.equal(m.page.flags[src], both | swapbacked);
  t.equal(m.page.private[src], 0);
  m.page.flags[dst] = 0;
  m.page.flags[src] = unevictable;
  folio_migrate_flags(m, dst, src);
  t.same([m.page.flags[dst], m.page.flags[src]], [unevictable, 0]);
  m.page.flags[src] = active | unevictable;
  t.throws(() => folio_migrate_flags(m, dst, src), /folio_migrate_flags/);
  t.end();
});

/**
 * Leaves a random state behind a migration of one page and takes its entries back, with or without the shortcuts of a
 * normal run. Returns all that there is afterwards.
 */
function taken_back(seed: number, explore: boolean): unknown[] {
  const rnd = xorshift32(seed);
  const chance = (n: number): boolean => rnd() % n === 0;
  let after: unknown[] = [];
  run_clean(t, small_machine(), function* (m, mm) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE_ANON, -1, 0);
    for (let i = 0; i < 4; i++) yield* user_store32(m, MAP + i * PAGE, i + 1);
    if (chance(4)) yield* sys_mprotect(m, MAP + PAGE, PAGE, 1);
    if (chance(3))
      yield* kernel_clone(m, 17, function* () {
        yield* sched_yield(m);
      });
    for (let k = 0; k < 4 && chance(2); k++) yield* sched_yield(m);
    const at = MAP + (rnd() % 4) * PAGE;
    const { table, index } = leaf_at(mm, at);
    for (const flag of [ACCESSED, DIRTY, SOFT_DIRTY])
      if (chance(2) && table.entry[index] & flag) table.entry[index] -= flag;
    const src = page_at(m, mm, at);
    if (chance(2)) folio_clear_dirty(m, src);
    yield* unmap(m, src);
    const entry = table.entry[index];
    let dst = src;
    if (chance(2) && m.page._refcount[src] === 1) {
      dst = folio_alloc(m, 0, 0);
      yield* folio_lock(m, dst);
      folio_migrate_mapping(m, null, dst, src, 0);
      folio_copy(m, dst, src);
      folio_migrate_flags(m, dst, src);
      m.page.mapping[src] = m.page.mapping[dst];
    }
    const gone = chance(5);
    if (gone) table.entry[index] = 0;
    // A child does not run meanwhile.
    const strategy = m.sched.strategy;
    m.sched.strategy = { next_task: (runnable, current) => current ?? runnable[0], random_u32: () => 1 };
    m.sched.explore = explore;
    yield* remove_migration_ptes(m, src, dst, 0);
    m.sched.explore = false;
    m.sched.strategy = strategy;
    after = [
      src === dst,
      gone,
      entry,
      [0, 1, 2, 3].map((i) => leaf_at(mm, MAP + i * PAGE).entry),
      [...mm.rss_stat],
      [src, dst].map((p) => [m.page.flags[p], m.page._mapcount[p], m.page._refcount[p], m.page.mapping[p]]),
      m.log.warnings,
    ];
    if (gone) {
      table.entry[index] = entry;
      yield* remove_migration_ptes(m, src, dst, 0);
    }
    if (dst !== src) {
      m.page.mapping[src] = 0;
      release(m, dst);
    }
    release(m, src);
  });
  return after;
}

t.test('entries are taken back alike with and without the shortcut of a normal run', (t) => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 60; seed++) {
    const short = taken_back(seed, false);
    t.same(taken_back(seed, true), short, `seed ${seed}`);
    seen.add(JSON.stringify(short.slice(0, 4)));
  }
  t.ok(seen.size > 20, `${seen.size} different states`);
  t.end();
});
