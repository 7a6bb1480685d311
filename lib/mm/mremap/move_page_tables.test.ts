// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { move_page_tables, pagetable_move_control } from './move_page_tables.ts';
import { sys_mremap } from './mremap.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const GIB = 512 * HUGE;
const FROM = 0x200000000;
const TO = 0x400000000;
const RW = 3;
const PRIVATE_ANON_NORESERVE = 0x4032;
const TO_FIXED = 3;
const [GUARD_INSTALL, GUARD] = [102, 4];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>, thp: 'never' | 'always' = 'never'): void {
  run_clean(t, small_machine({ thp }), body);
}

function* map(m: Machine, addr: number, len: number): Gen<void> {
  yield* sys_mmap(m, addr, len, RW, PRIVATE_ANON_NORESERVE, -1, 0);
}

/** The pte table for the address, null without one. */
function pte_table(mm: mm_struct, addr: number): ptdesc | null {
  const leaf = walk_address(mm, addr);
  return leaf.level === 'pte' ? leaf.table : null;
}

t.test('a pte table that the move covers goes as a whole, the rest entry by entry', (t) => {
  run(function* (m, mm) {
    yield* map(m, FROM, HUGE + 4 * PAGE);
    yield* map(m, FROM + HUGE + 4 * PAGE, PAGE);
    for (const at of [0, HUGE - PAGE, HUGE, HUGE + 3 * PAGE, HUGE + 4 * PAGE])
      yield* user_store32(m, FROM + at, at + 1);
    const [first, second] = [pte_table(mm, FROM), pte_table(mm, FROM + HUGE)];
    t.equal(yield* sys_mremap(m, FROM, HUGE + 4 * PAGE, HUGE + 4 * PAGE, TO_FIXED, TO), TO);
    t.equal(pte_table(mm, TO), first);
    t.not(pte_table(mm, TO + HUGE), second);
    t.equal(pte_table(mm, FROM + HUGE), second, 'it still maps the page behind');
    for (const at of [0, HUGE - PAGE, HUGE, HUGE + 3 * PAGE]) t.equal(yield* user_load32(m, TO + at), at + 1);
    t.equal(yield* user_load32(m, FROM + HUGE + 4 * PAGE), HUGE + 4 * PAGE + 1);
  });
  t.end();
});

t.test('a move that is not aligned alike goes entry by entry, one with nothing below it may begin earlier', (t) => {
  run(function* (m, mm) {
    yield* map(m, FROM + PAGE, 2 * HUGE - PAGE);
    yield* user_store32(m, FROM + PAGE, 5);
    const table = pte_table(mm, FROM);
    yield* sys_mremap(m, FROM + PAGE, 2 * HUGE - PAGE, 2 * HUGE - PAGE, TO_FIXED, TO + PAGE);
    t.equal(pte_table(mm, TO), table);
    t.equal(yield* user_load32(m, TO + PAGE), 5);
    yield* sys_mremap(m, TO + PAGE, 2 * HUGE - PAGE, 2 * HUGE - PAGE, TO_FIXED, FROM + 2 * PAGE);
    t.not(pte_table(mm, FROM), table);
    t.equal(yield* user_load32(m, FROM + 2 * PAGE), 5);
    yield* map(m, TO + HUGE, PAGE);
    const moved = pte_table(mm, FROM);
    yield* sys_mremap(m, FROM + 2 * PAGE, 2 * HUGE - 2 * PAGE, 2 * HUGE - 2 * PAGE, TO_FIXED, TO + HUGE + 2 * PAGE);
    t.not(pte_table(mm, TO + HUGE), moved, 'somebody is below the destination');
    t.equal(yield* user_load32(m, TO + HUGE + 2 * PAGE), 5);
  });
  t.end();
});

t.test('a whole GiB moves by one entry', (t) => {
  run(function* (m, mm) {
    yield* map(m, FROM, GIB);
    yield* user_store32(m, FROM + 77 * HUGE, 5);
    const [bytes, flushes] = [mm.pgtables_bytes, m.tlb_flushes];
    const pmdt = walk_address(mm, FROM).table;
    t.equal(pmdt?.level, 2);
    t.equal(yield* sys_mremap(m, FROM, GIB, GIB, TO_FIXED, TO), TO);
    t.equal(walk_address(mm, TO).table, pmdt);
    t.equal(walk_address(mm, FROM).table?.level, 3);
    t.equal(mm.pgtables_bytes, bytes);
    t.ok(m.tlb_flushes > flushes);
    t.equal(yield* user_load32(m, TO + 77 * HUGE), 5);
  });
  t.end();
});

t.test('a huge page moves as one where both ends fit, in pieces elsewhere', (t) => {
  run(function* (m, mm) {
    yield* map(m, FROM, HUGE);
    yield* user_store32(m, FROM + 7 * PAGE, 5);
    const { entry } = walk_address(mm, FROM);
    yield* sys_mremap(m, FROM, HUGE, HUGE, TO_FIXED, TO);
    t.same(
      [walk_address(mm, TO).level, Math.floor(walk_address(mm, TO).entry / 2 ** 20)],
      ['pmd', Math.floor(entry / 2 ** 20)],
    );
    yield* sys_mremap(m, TO, HUGE, HUGE, TO_FIXED, FROM + PAGE);
    t.same([walk_address(mm, FROM + PAGE).level, walk_address(mm, FROM + HUGE).level], ['pte', 'pte']);
    t.equal(Math.floor(walk_address(mm, FROM + 8 * PAGE).entry / 2 ** 20), Math.floor(entry / 2 ** 20) + 7);
    t.equal(yield* user_load32(m, FROM + 8 * PAGE), 5);
    t.equal(mm.rss_stat[1], 512);
  }, 'always');
  t.end();
});

t.test('guards move, and an empty range moves without tables', (t) => {
  run(function* (m, mm) {
    yield* map(m, FROM, 4 * PAGE);
    yield* sys_madvise(m, FROM + PAGE, PAGE, GUARD_INSTALL);
    const guard = walk_address(mm, FROM + PAGE).entry;
    t.equal(Math.floor(guard / 2 ** 20), GUARD);
    yield* sys_mremap(m, FROM, 4 * PAGE, 4 * PAGE, TO_FIXED, TO);
    t.equal(walk_address(mm, TO + PAGE).entry, guard);
    yield* map(m, FROM + GIB, HUGE);
    yield* map(m, TO + GIB, HUGE);
    const [from, to] = [FROM + GIB, TO + GIB].map((at) => mm.mm_mt.find((v) => v.vm_start === at)) as [
      vm_area_struct,
      vm_area_struct,
    ];
    const bytes = mm.pgtables_bytes;
    t.equal(yield* move_page_tables(m, new pagetable_move_control(from, to, FROM + GIB, TO + GIB, HUGE)), HUGE);
    t.equal(yield* move_page_tables(m, new pagetable_move_control(from, to, FROM + GIB, TO + GIB, 0)), 0);
    t.equal(mm.pgtables_bytes, bytes);
  });
  t.end();
});
