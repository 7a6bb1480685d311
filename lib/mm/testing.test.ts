// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { walk_address } from '../inspect.ts';
import { mm_alloc } from '../kernel/fork/mm_init.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { folio_lock } from './filemap/folio_lock.ts';
import { lru_add_drain } from './folio.ts';
import type { mm_struct } from './mm_types.ts';
import { page_to_pfn } from './page.ts';
import { alloc_page } from './page_alloc.ts';
import {
  bare_machine,
  leaf_at,
  load_words,
  make_pte,
  make_table,
  map_anon,
  page_at,
  pte_at,
  release,
  replace_folio,
  run_thp,
  vma_of,
} from './testing.ts';

const [PAGE, HUGE, MAP] = [4096, 2 * 1024 * 1024, 0x200000000];

t.test('an address is found in its vma, its table and its page', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    t.equal(yield* map_anon(m, MAP, 3), MAP);
    yield* user_store32(m, MAP, 7);
    yield* user_store32(m, MAP + 2 * PAGE, 9);
    t.same(yield* load_words(m, MAP, 3), [7, 0, 9]);
    t.equal(vma_of(mm, MAP + 2 * PAGE).vm_start, MAP);
    const { table, index, entry } = leaf_at(mm, MAP);
    t.equal(table.entry[index], entry);
    t.equal(pte_at(mm, MAP), entry);
    t.equal(m.ram.bytes(page_to_pfn(m, page_at(m, mm, MAP)))[0], 7);
    t.throws(() => pte_at(mm, MAP + HUGE), /no pte table at 0x200200000/);
  });
  t.end();
});

t.test('tables are made where there are none, and found where there are', (t) => {
  const m = small_machine();
  const mm = mm_alloc(m) as mm_struct;
  const { vma, pt } = make_table(m, mm, MAP);
  t.same([vma.vm_start, vma.vm_end, m.current.mm], [MAP, MAP + HUGE, mm]);
  const slot = make_pte(m, mm, MAP + 5 * PAGE);
  t.equal(slot.pt, pt);
  t.equal(slot.i, 5);
  t.equal(make_pte(m, mm, MAP + HUGE).i, 0);
  t.equal(walk_address(mm, MAP + HUGE).level, 'pte');
  t.end();
});

t.test('a folio takes the place of another one, which is free then', (t) => {
  const m = run_thp(t, MAP, HUGE, function* (m, mm) {
    yield* user_store32(m, MAP, 3);
    t.equal(walk_address(mm, MAP).level, 'pmd');
    yield* map_anon(m, MAP + HUGE, 1);
    yield* user_store32(m, MAP + HUGE, 4);
    lru_add_drain(m);
    const [src, dst, free] = [page_at(m, mm, MAP + HUGE), alloc_page(m, 0x100), m.zone.nr_free];
    yield* folio_lock(m, dst);
    yield* replace_folio(m, src, dst);
    t.equal(page_at(m, mm, MAP + HUGE), dst);
    t.equal(m.page._refcount[dst], 1);
    t.equal(m.zone.nr_free, free + 1);
    t.equal(yield* user_load32(m, MAP + HUGE), 0, "what it held is the caller's to copy");
  });
  t.equal(m.config.thp, 'always');
  t.end();
});

t.test('a bare machine has memory and nothing else', (t) => {
  const m = bare_machine();
  t.same(
    [m.zone.nr_free, m.zero_page, m.sched.tasks.length],
    [15360, 0, 0],
    'the first 4 MiB hold what cannot be allocated',
  );
  const page = alloc_page(m, 0);
  m.page.flags[page] = m.page.flags[page] | 1;
  release(m, page);
  t.equal(m.zone.nr_free, 15360);
  t.end();
});
