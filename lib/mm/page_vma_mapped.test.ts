// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { pmd_populate } from '../arch/x86/mm/pgtable/pgalloc.ts';
import { pfn_pte, pmd_index, ptdesc } from '../arch/x86/mm/pgtable/pgtable.ts';
import { folio_mk_pmd } from '../arch/x86/mm/pgtable/pmd.ts';
import { Machine } from '../machine.ts';
import { mm_alloc } from '../kernel/fork/mm_init.ts';
import { xorshift32 } from '../kernel/sched/core.ts';
import { at_once } from '../kernel/testing.ts';
import {
  make_device_exclusive_entry,
  make_readable_migration_entry,
  make_writable_device_private_entry,
} from './leafops.ts';
import { type mm_struct, vm_area_struct } from './mm_types.ts';
import { page_to_pfn } from './page.ts';
import { folio_alloc } from './page_alloc.ts';
import {
  DEFINE_FOLIO_VMA_WALK,
  page_vma_mapped_walk,
  page_vma_mapped_walk_done,
  page_vma_mapped_walk_last,
  page_vma_mapped_walk_restart,
  vma_address_end,
} from './page_vma_mapped.ts';
import { mm_find_pmd } from './rmap/rmap.ts';
import { make_pte } from './testing.ts';
import { mm_alloc_pmd } from './userfaultfd/mfill.ts';

const [PAGE, BASE] = [4096, 0x200000000];
const [MIGRATION, CROSSED] = [2, 0x10000];
const PRESENT = 5;

function setting(order: number, pages = 4096): { m: Machine; vma: vm_area_struct; folio: number; pfn: number } {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  m.zone.add_span(0x10000, 0x10800);
  const vma = new vm_area_struct(mm_alloc(m) as mm_struct, BASE, BASE + pages * PAGE);
  const folio = folio_alloc(m, 0, order);
  m.page.mapping[folio] = 1;
  return { m, vma, folio, pfn: page_to_pfn(m, folio) };
}

/** Writes the entry that maps a page of the vma, in pages from its start. */
function map(m: Machine, vma: vm_area_struct, page: number, entry: number): void {
  const { pt, i } = make_pte(m, vma.vm_mm, vma.vm_start + page * PAGE);
  pt.entry[i] = entry;
}

/**
 * The pages at which a walk for the folio, whose first page belongs at `page`, finds entries, `pmd` for a huge one;
 * every find must hold the lock, the end none.
 */
function found(m: Machine, folio: number, vma: vm_area_struct, page: number, flags = 0): (number | string)[] {
  m.page.index[folio] = page;
  const walk = DEFINE_FOLIO_VMA_WALK(m, folio, vma, BASE + page * PAGE, flags);
  const list: (number | string)[] = [];
  while (at_once(page_vma_mapped_walk(m, walk))) {
    if (walk.ptl?.owner !== m.current) throw new Error('found without the lock');
    list.push(walk.pte === null ? 'pmd' : (walk.address - BASE) / PAGE);
  }
  if (m.current.held_locks.length > 0) throw new Error('a lock is left');
  if (walk.flags & CROSSED) list.push('crossed');
  return list;
}

t.test('a small folio is found where its page is mapped, and nowhere else', (t) => {
  const { m, vma, folio, pfn } = setting(0);
  t.same(found(m, folio, vma, 3), [], 'without tables');
  map(m, vma, 3, pfn_pte(pfn, PRESENT));
  t.same(found(m, folio, vma, 3), [3]);
  t.same(found(m, folio, vma, 2), [], 'one page is looked at, not its neighbours');
  map(m, vma, 3, pfn_pte(pfn + 1, PRESENT));
  t.same(found(m, folio, vma, 3), [], 'another page took the place');
  const walk = DEFINE_FOLIO_VMA_WALK(m, folio, vma, BASE + 3 * PAGE, 0);
  map(m, vma, 3, pfn_pte(pfn, PRESENT));
  t.ok(at_once(page_vma_mapped_walk(m, walk)));
  t.equal(walk.pte?.entry[walk.ptei], pfn_pte(pfn, PRESENT));
  t.ok(page_vma_mapped_walk_last(m, walk), 'a small folio has no second entry');
  t.equal(m.current.held_locks.length, 0);
  t.end();
});

t.test('a large folio in ptes is found entry by entry, over the edge of a table, without what is not its own', (t) => {
  const { m, vma, folio, pfn } = setting(3);
  for (const i of [0, 1, 3, 4, 7]) map(m, vma, 508 + i, pfn_pte(pfn + i, PRESENT));
  map(m, vma, 510, pfn_pte(pfn + 100, PRESENT));
  map(m, vma, 516, pfn_pte(pfn + 7, PRESENT));
  t.same(found(m, folio, vma, 508), [508, 509, 511, 512, 515, 'crossed']);
  map(m, vma, 508, 0);
  t.same(found(m, folio, vma, 508), [509, 511, 512, 515, 'crossed']);
  const walk = DEFINE_FOLIO_VMA_WALK(m, folio, vma, BASE + 508 * PAGE, 0);
  t.ok(at_once(page_vma_mapped_walk(m, walk)));
  t.notOk(page_vma_mapped_walk_last(m, walk));
  page_vma_mapped_walk_done(m, walk);
  t.equal(m.current.held_locks.length, 0, 'given up early');
  t.end();
});

t.test(
  'a walk of mappings takes device entries for such and leaves migration entries; one of migration entries leaves all else',
  (t) => {
    const { m, vma, folio, pfn } = setting(3);
    map(m, vma, 0, pfn_pte(pfn, PRESENT));
    map(m, vma, 1, make_readable_migration_entry(pfn + 1));
    map(m, vma, 2, make_writable_device_private_entry(pfn + 2));
    map(m, vma, 3, make_device_exclusive_entry(pfn + 3));
    map(m, vma, 4, make_readable_migration_entry(pfn + 8));
    map(m, vma, 5, make_readable_migration_entry(pfn + 5));
    t.same(found(m, folio, vma, 0), [0, 2, 3]);
    t.same(found(m, folio, vma, 0, MIGRATION), [1, 5]);
    t.end();
  },
);

t.test('a huge mapping is one find, and where another folio is mapped hugely the walk goes on behind it', (t) => {
  const { m, vma, folio } = setting(9);
  const pmdt = at_once(mm_alloc_pmd(m, vma.vm_mm, BASE)) as ptdesc;
  pmdt.entry[pmd_index(BASE)] = folio_mk_pmd(m, folio, PRESENT);
  t.same(found(m, folio, vma, 0), ['pmd']);
  t.same(found(m, folio, vma, 0, MIGRATION), []);
  pmdt.entry[pmd_index(BASE)] = make_readable_migration_entry(page_to_pfn(m, folio));
  t.same(found(m, folio, vma, 0), []);
  t.same(found(m, folio, vma, 0, MIGRATION), ['pmd']);
  const other = folio_alloc(m, 0, 9);
  pmdt.entry[pmd_index(BASE)] = folio_mk_pmd(m, other, PRESENT);
  for (const i of [256, 511]) map(m, vma, 256 + i, pfn_pte(page_to_pfn(m, folio) + i, PRESENT));
  t.same(found(m, folio, vma, 256), [512, 767]);
  t.equal(mm_find_pmd(m, vma.vm_mm, BASE), pmdt);
  t.end();
});

t.test('after a restart the walk looks again at what the pmd holds by then', (t) => {
  const { m, vma, folio, pfn } = setting(9);
  const pmdt = at_once(mm_alloc_pmd(m, vma.vm_mm, BASE)) as ptdesc;
  pmdt.entry[pmd_index(BASE)] = folio_mk_pmd(m, folio, PRESENT);
  const walk = DEFINE_FOLIO_VMA_WALK(m, folio, vma, BASE, 0);
  t.ok(at_once(page_vma_mapped_walk(m, walk)));
  const pt = new ptdesc(1, folio_alloc(m, 0, 0));
  pt.entry[2] = pfn_pte(pfn + 2, PRESENT);
  pmd_populate(m, vma.vm_mm, pmdt, pmd_index(BASE), pt);
  page_vma_mapped_walk_restart(m, walk);
  t.equal(pmdt.ptl.owner, null);
  t.ok(at_once(page_vma_mapped_walk(m, walk)));
  t.same([walk.pte, walk.ptei, walk.address], [pt, 2, BASE + 2 * PAGE]);
  t.notOk(at_once(page_vma_mapped_walk(m, walk)));
  t.same(m.log.warnings, []);
  t.end();
});

t.test('the walk ends with the folio or with the vma, by the index that the kind of folio goes by', (t) => {
  const { m, vma, folio } = setting(4, 8);
  vma.vm_pgoff = 100;
  vma.vm_anon_pgoff = 40;
  const end = (index: number): number => {
    m.page.index[folio] = index;
    return (vma_address_end(DEFINE_FOLIO_VMA_WALK(m, folio, vma, BASE, 0)) - BASE) / PAGE;
  };
  t.same([end(30), end(40), end(16)], [6, 8, 8], 'anonymous memory: from 40 on');
  m.page.mapping[folio] = 4;
  t.same([end(90), end(100)], [6, 8], 'a file: from 100 on');
  const small = folio_alloc(m, 0, 0);
  t.equal(vma_address_end(DEFINE_FOLIO_VMA_WALK(m, small, vma, BASE + PAGE, 0)), BASE + 2 * PAGE);
  t.end();
});

/** Runs a generator to its end, past the points at which another task could run. */
function drain<T>(gen: Generator<unknown, T>): T {
  for (;;) {
    const r = gen.next();
    if (r.done) return r.value;
  }
}

t.test('a walk finds the same in random tables with and without the shortcuts of a normal run', (t) => {
  const rnd = xorshift32(20260101);
  const below = (n: number): number => rnd() % n;
  for (let round = 0; round < 400; round++) {
    const order = below(4);
    const { m, vma, folio, pfn } = setting(order, 2048);
    const page = 500 + below(30);
    m.page.index[folio] = page;
    for (let i = page - 3; i < page + (1 << order) + 3; i++) {
      const at = pfn + below(2 << order);
      const entries = [
        pfn_pte(at, PRESENT),
        make_readable_migration_entry(at),
        make_writable_device_private_entry(at),
        make_device_exclusive_entry(at),
      ];
      if (below(3) > 0) map(m, vma, i, below(5) === 0 ? 0 : entries[below(4)]);
    }
    const flags = below(4);
    const walk = (explore: boolean): unknown[] => {
      m.sched.explore = explore;
      const w = DEFINE_FOLIO_VMA_WALK(m, folio, vma, BASE + page * PAGE, flags);
      const list: unknown[] = [];
      while (drain(page_vma_mapped_walk(m, w))) list.push(w.address, w.ptei, w.ptl?.owner === m.current);
      list.push(m.current.held_locks.length, w.flags);
      m.sched.explore = false;
      return list;
    };
    t.same(walk(true), walk(false), `round ${round}, order ${order}, flags ${flags}`);
  }
  t.end();
});
