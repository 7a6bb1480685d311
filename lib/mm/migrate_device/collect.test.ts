// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { type Leaf, walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain } from '../folio.ts';
import { make_writable_device_private_entry, swp_type } from '../leafops.ts';
import { memremap_pages, memunmap_pages, zone_device_folio_init } from '../memremap.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { sys_mprotect } from '../mprotect.ts';
import { folio_test_locked } from '../page-flags.ts';
import { page_to_pfn, pfn_to_page } from '../page.ts';
import { anon_vma_prepare } from '../rmap/anon_vma.ts';
import { folio_add_new_anon_rmap, folio_mapcount } from '../rmap/rmap.ts';
import { private_pagemap } from '../testing.ts';
import { migrate_vma_collect, migrate_vma_nr_pages } from './collect.ts';
import { migrate_vma } from './migrate_vma.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [READ, RW] = [1, 3];
const [SHARED_ANON, PRIVATE_ANON] = [0x31, 0x32];
const [VALID, MIGRATE, WRITE, COMPOUND] = [1, 2, 8, 16];
const [SYSTEM, DEVICE_PRIVATE, SELECT_COMPOUND] = [1, 2, 8];
const HAS_PINNED = 2;
const [DIRTY, USED] = [16, 8 | 16 | 256];
const PG_dirty = 4;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>, thp: 'never' | 'always' = 'never'): void {
  run_clean(t, small_machine({ thp }), body);
}

function leaf_at(mm: mm_struct, page: number): Leaf & { table: ptdesc } {
  return walk_address(mm, MAP + page * PAGE) as Leaf & { table: ptdesc };
}

function page_at(m: Machine, mm: mm_struct, page: number): number {
  return pfn_to_page(m, Math.floor(leaf_at(mm, page).entry / 2 ** 20));
}

/** Returns the entries collected for pages [from, to) from MAP on. */
function* collect(
  m: Machine,
  mm: mm_struct,
  from: number,
  to: number,
  flags: number,
  owner: unknown = null,
): Gen<migrate_vma> {
  lru_add_drain(m);
  const migrate = new migrate_vma();
  migrate.vma = mm.mm_mt.find((v) => v.vm_start <= MAP + from * PAGE && MAP + from * PAGE < v.vm_end) as vm_area_struct;
  migrate.start = MAP + from * PAGE;
  migrate.end = MAP + to * PAGE;
  migrate.src = new Float64Array(to - from).fill(99);
  migrate.dst = new Float64Array(to - from).fill(99);
  migrate.flags = flags;
  migrate.pgmap_owner = owner;
  yield* mmap_read_lock(m, mm);
  yield* migrate_vma_collect(m, migrate);
  mmap_read_unlock(m, mm);
  return migrate;
}

/** Maps the collected pages again. */
function* put_back(m: Machine, ...pages: number[]): Gen<void> {
  for (const page of pages) {
    yield* remove_migration_ptes(m, page, page, 0);
    folio_unlock(m, page);
    folio_put(m, page);
  }
}

function entry_of(m: Machine, page: number, flags: number): number {
  return page_to_pfn(m, page) * 64 + flags;
}

t.test('pages are locked, held and unmapped; what is empty may be filled', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    yield* user_load32(m, MAP + PAGE);
    yield* user_store32(m, MAP + 3 * PAGE, 6);
    const { table, index, entry } = leaf_at(mm, 3);
    table.entry[index] = entry - (entry & (2 | DIRTY));
    const [a, b] = [page_at(m, mm, 0), page_at(m, mm, 3)];
    m.page.flags[a] &= ~PG_dirty;
    const flushes = m.tlb_flushes;
    const migrate = yield* collect(m, mm, 0, 4, SYSTEM);
    t.same(
      [...(migrate.src as Float64Array)],
      [entry_of(m, a, VALID | MIGRATE | WRITE), MIGRATE, MIGRATE, entry_of(m, b, VALID | MIGRATE)],
    );
    t.same([...(migrate.dst as Float64Array)], [0, 0, 0, 0]);
    t.same([migrate.npages, migrate.cpages], [4, 4]);
    t.same(
      [a, b].map((p) => [folio_test_locked(m, p), m.page._refcount[p], folio_mapcount(m, p)]),
      [
        [true, 1, 0],
        [true, 1, 0],
      ],
    );
    t.same([swp_type(leaf_at(mm, 0).entry), swp_type(leaf_at(mm, 3).entry)], [0x1b, 0x1a]);
    t.equal(leaf_at(mm, 0).entry & USED, USED, 'young, dirty and soft-dirty are kept there');
    t.equal(m.page.flags[a] & PG_dirty, PG_dirty);
    t.ok(m.tlb_flushes > flushes);
    yield* put_back(m, a, b);
    t.same([yield* user_load32(m, MAP), yield* user_load32(m, MAP + 3 * PAGE)], [5, 6]);
  });
  t.end();
});

t.test('a hole is taken in anonymous memory only, with or without a page table', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, READ, PRIVATE_ANON, -1, 0);
    const none = yield* collect(m, mm, 0, 2, SYSTEM);
    t.same([...(none.src as Float64Array), none.cpages], [MIGRATE, MIGRATE, 2]);
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, SHARED_ANON, -1, 0);
    const no_table = yield* collect(m, mm, 0, 2, SYSTEM);
    t.same([...(no_table.src as Float64Array), no_table.cpages, no_table.npages], [0, 0, 0, 2]);
    yield* user_store32(m, MAP, 5);
    const page = page_at(m, mm, 0);
    const table = yield* collect(m, mm, 0, 2, SYSTEM);
    t.same([...(table.src as Float64Array), table.cpages], [entry_of(m, page, VALID | MIGRATE | WRITE), 0, 1]);
    t.equal(m.page._refcount[page], 2, 'the page cache has one');
    yield* put_back(m, page);
  });
  t.end();
});

t.test('a page that is locked, or pinned and exclusive, stays where it is', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    for (const n of [0, 1]) yield* user_store32(m, MAP + n * PAGE, 5);
    const [locked, pinned] = [page_at(m, mm, 0), page_at(m, mm, 1)];
    const entries = [leaf_at(mm, 0).entry, leaf_at(mm, 1).entry];
    yield* folio_lock(m, locked);
    m.page._refcount[pinned] += 1024;
    mm.flags |= HAS_PINNED;
    const migrate = yield* collect(m, mm, 0, 2, SYSTEM);
    t.same([...(migrate.src as Float64Array), migrate.cpages], [0, 0, 0]);
    t.same([leaf_at(mm, 0).entry, leaf_at(mm, 1).entry], entries);
    t.same([m.page._refcount[locked], m.page._refcount[pinned], folio_test_locked(m, pinned)], [1, 1025, false]);
    folio_unlock(m, locked);
    m.page._refcount[pinned] -= 1024;
  });
  t.end();
});

t.test('system pages and the private pages of one owner are selected by flags', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    yield* user_load32(m, MAP + PAGE);
    const vma = mm.mm_mt.find((v) => v.vm_start === MAP) as vm_area_struct;
    yield* anon_vma_prepare(m, vma);
    const pgmap = private_pagemap('me');
    yield* memremap_pages(m, pgmap, 0);
    const [own, device] = [page_at(m, mm, 0), pfn_to_page(m, pgmap.range.start / PAGE)];
    zone_device_folio_init(m, device, pgmap, 0);
    folio_unlock(m, device);
    folio_add_new_anon_rmap(m, device, vma, MAP + PAGE, 1);
    mm.rss_stat[1]++;
    const { table, index } = leaf_at(mm, 1);
    table.entry[index] = make_writable_device_private_entry(page_to_pfn(m, device));
    const system = yield* collect(m, mm, 0, 2, SYSTEM, 'me');
    t.same([...(system.src as Float64Array)], [entry_of(m, own, VALID | MIGRATE | WRITE), 0]);
    yield* put_back(m, own);
    t.same([...((yield* collect(m, mm, 0, 2, DEVICE_PRIVATE, 'you')).src as Float64Array)], [0, 0]);
    const mine = yield* collect(m, mm, 0, 2, DEVICE_PRIVATE, 'me');
    t.same([...(mine.src as Float64Array)], [0, entry_of(m, device, VALID | MIGRATE | WRITE)]);
    yield* put_back(m, device);
    t.equal(swp_type(leaf_at(mm, 1).entry), 0x1c);
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* memunmap_pages(m, pgmap);
  });
  t.end();
});

t.test('a large folio in small mappings is split, and all of it looked at again', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE_ANON, -1, 0);
    for (const n of [0, 1, 2, 3]) yield* user_store32(m, MAP + n * PAGE, 5 + n);
    yield* sys_mprotect(m, MAP + 3 * PAGE, PAGE, READ);
    const pages = [0, 1, 2, 3].map((n) => page_at(m, mm, n)) as [number, number, number, number];
    t.equal(m.page.order[pages[0]], 9);
    const migrate = yield* collect(m, mm, 1, 3, SYSTEM);
    t.same(
      [...(migrate.src as Float64Array)],
      [1, 2].map((n) => entry_of(m, pages[n], VALID | MIGRATE | WRITE)),
    );
    t.same(
      pages.map((p) => [folio_test_locked(m, p), folio_mapcount(m, p)]),
      [
        [false, 1],
        [true, 0],
        [true, 0],
        [false, 1],
      ],
    );
    t.same(
      pages.map((p) => m.page._refcount[p]),
      [1, 1, 1, 1],
    );
    yield* put_back(m, pages[1], pages[2]);
    for (const n of [0, 1, 2, 3]) t.equal(yield* user_load32(m, MAP + n * PAGE), 5 + n);
  }, 'always');
  t.end();
});

t.test('a huge page goes as one entry if that is selected and the range is aligned, else it is split', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    const page = page_at(m, mm, 0);
    const whole = yield* collect(m, mm, 0, 1024, SYSTEM | SELECT_COMPOUND);
    const src = whole.src as Float64Array;
    t.same([src[0], src[512]], [entry_of(m, page, VALID | MIGRATE | WRITE | COMPOUND), MIGRATE | COMPOUND]);
    t.same([migrate_vma_nr_pages(src[0]), migrate_vma_nr_pages(VALID)], [512, 1]);
    t.equal(src.filter((v) => v !== 0).length, 2);
    t.same([whole.npages, whole.cpages, leaf_at(mm, 0).level], [1024, 2, 'pmd']);
    yield* put_back(m, page);
    const pieces = yield* collect(m, mm, 0, 2, SYSTEM | SELECT_COMPOUND);
    t.same(
      [...(pieces.src as Float64Array)],
      [entry_of(m, page, VALID | MIGRATE | WRITE), MIGRATE],
      'a piece of zeroes is none',
    );
    t.equal(leaf_at(mm, 0).level, 'pte');
    yield* put_back(m, page);
    t.equal(yield* user_load32(m, MAP), 5);
  }, 'always');
  t.end();
});
