// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { type ptdesc, pte_pfn, pte_soft_dirty } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { Oops } from '../../kernel/printk.ts';
import { UserSignal } from '../../kernel/signal.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mm_find_pmd } from '../rmap/rmap.ts';
import { move_huge_pmd, move_pages_huge_pmd } from './move.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const GIB = 1024 * 1024 * 1024;
const MAP = 0x200000000;
const RW = 3;
const PRIVATE_ANON_FIXED = 0x32;
const NR_mremap = 25;
const MAYMOVE_FIXED = 3;
const SIGSEGV = 11;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine({ thp: 'always' }), function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* body(m, mm);
  });
}

function remap(m: Machine, from: number, len: number, to: number): Gen<number> {
  return do_syscall_64(m, NR_mremap, from, len, len, MAYMOVE_FIXED, to);
}

const deposited = (m: Machine, mm: mm_struct, addr: number): number =>
  (mm_find_pmd(m, mm, addr) as ptdesc).pmd_huge_pte.length;

t.test('mremap to an aligned place moves the pmd, its deposited table and nothing else', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP + 7 * PAGE, 7);
    const before = walk_address(mm, MAP).entry;
    const rss = mm.rss_stat[1];
    const to = MAP + 8 * GIB;
    t.equal(yield* remap(m, MAP, HUGE, to), to);
    t.same([walk_address(mm, to).level, pte_pfn(walk_address(mm, to).entry)], ['pmd', pte_pfn(before)]);
    t.ok(pte_soft_dirty(walk_address(mm, to).entry));
    t.equal(walk_address(mm, MAP).entry, 0);
    t.same([deposited(m, mm, MAP), deposited(m, mm, to), mm.rss_stat[1]], [0, 1, rss]);
    t.equal(yield* user_load32(m, to + 7 * PAGE), 7);
    let sig = 0;
    try {
      yield* user_load32(m, MAP + 7 * PAGE);
    } catch (e) {
      if (e instanceof UserSignal) sig = e.sig;
    }
    t.equal(sig, SIGSEGV, 'the old translation is flushed');
  });
});

t.test('an unaligned place takes ptes, and the same table keeps its deposit', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    yield* user_store32(m, MAP + HUGE, 2);
    t.equal(yield* remap(m, MAP + HUGE, HUGE, MAP + 4 * HUGE), MAP + 4 * HUGE);
    t.equal(walk_address(mm, MAP + 4 * HUGE).level, 'pmd');
    t.equal(deposited(m, mm, MAP), 2);
    t.equal(yield* remap(m, MAP, HUGE, MAP + 8 * HUGE + PAGE), MAP + 8 * HUGE + PAGE);
    t.equal(walk_address(mm, MAP + 8 * HUGE + PAGE).level, 'pte');
    t.equal(deposited(m, mm, MAP), 1);
    t.equal(yield* user_load32(m, MAP + 8 * HUGE + PAGE), 1);
    t.equal(yield* user_load32(m, MAP + 4 * HUGE), 2);
  });
});

t.test('a place that is taken, or nothing huge to move, is refused', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    yield* sys_mmap(m, MAP + 4 * HUGE, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* user_store32(m, MAP + 4 * HUGE, 1);
    yield* user_store32(m, MAP + HUGE, 1);
    const vma = vma_at(mm, MAP) as vm_area_struct;
    const pmdt = mm_find_pmd(m, mm, MAP) as ptdesc;
    const move = (from: number, to: number): Gen<boolean> => move_huge_pmd(m, vma, from, to, pmdt, pmdt);
    const before = [...pmdt.entry];
    t.notOk(yield* move(MAP, MAP + 4 * HUGE), 'a table of ptes is there');
    t.throws(() => move(MAP, MAP + HUGE).next(), Oops, 'another huge page is there');
    t.notOk(yield* move(MAP + 4 * HUGE, MAP + 5 * HUGE), 'a table of ptes is no huge pmd');
    t.same([...pmdt.entry], before);
    t.throws(() => move_pages_huge_pmd(m, mm, pmdt, 0, pmdt, 1).next(), /not modelled|move_pages_huge_pmd/);
  });
});
