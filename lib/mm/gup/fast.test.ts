// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { pte_pfn } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { lru_add_drain_all, put_page } from '../folio.ts';
import type { mm_struct } from '../mm_types.ts';
import { mmap_write_lock, mmap_write_unlock } from '../mmap_lock.ts';
import { large } from '../page.ts';
import { map_anon } from '../testing.ts';
import { gup_fast_fallback } from './fast.ts';
import { get_user_pages_fast, get_user_pages_fast_only, pin_user_pages_fast } from './gup.ts';
import { unpin_user_pages } from './pin.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [NONE, RW] = [0, 3];
const SHARED = 1;
const [WRITE, LONGTERM, PIN, FAST_ONLY] = [1, 0x100, 0x80000, 0x100000];
const [EFAULT, EINVAL, EOVERFLOW] = [-14, -22, -75];
const TASK_SIZE = 0x7ffffffff000;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>, thp: 'always' | 'never' = 'never'): void {
  run_clean(t, small_machine({ thp }), body);
}

/** Returns the number of pages that the page tables alone yield, after dropping them. */
function* only(m: Machine, addr: number, nr: number, flags = 0): Gen<number> {
  const pages = new Int32Array(nr);
  const n = yield* get_user_pages_fast_only(m, addr, nr, flags, pages);
  for (let i = 0; i < n; i++) put_page(m, pages[i]);
  return n;
}

const mapped = (m: Machine, mm: mm_struct, addr: number): number =>
  m.page.pfn_to_page(pte_pfn(walk_address(mm, addr).entry));

t.test('the page tables alone yield what they map with the right asked for, without the mmap lock', async (t) => {
  run(function* (m, mm) {
    yield* map_anon(m, MAP, 4);
    t.equal(yield* only(m, MAP, 4), 0);
    for (const i of [0, 1, 3]) yield* user_store32(m, MAP + i * PAGE, i);
    yield* mmap_write_lock(m, mm);
    t.equal(yield* only(m, MAP, 4), 2, 'up to the first hole');
    t.equal(yield* only(m, MAP + 3 * PAGE + 100, 1, WRITE), 1, 'an address within the page will do');
    mmap_write_unlock(m, mm);
    yield* user_load32(m, MAP + 2 * PAGE);
    t.equal(yield* only(m, MAP, 4), 2, 'the zero page is special');
    yield* map_anon(m, MAP + HUGE, 1);
    yield* user_store32(m, MAP + HUGE, 1);
    yield* map_anon(m, MAP + HUGE, 1, NONE);
    t.equal(yield* only(m, MAP + HUGE, 1), 0);
  });
});

t.test('the slow path does the rest, and the answer is how far both came', async (t) => {
  run(function* (m, mm) {
    yield* map_anon(m, MAP, 3);
    yield* user_store32(m, MAP, 1);
    const pages = new Int32Array(5);
    t.equal(yield* get_user_pages_fast(m, MAP, 5, WRITE, pages), 3);
    t.same(
      [...pages.slice(0, 3)],
      [0, 1, 2].map((i) => mapped(m, mm, MAP + i * PAGE)),
    );
    for (const p of pages.slice(0, 3)) put_page(m, p);
    t.equal(yield* get_user_pages_fast(m, MAP + 3 * PAGE, 1, 0, pages), EFAULT);
    t.equal(yield* get_user_pages_fast(m, TASK_SIZE - PAGE, 2, 0, pages), EFAULT);
    t.equal(yield* get_user_pages_fast(m, 2 ** 64 - PAGE, 2, 0, pages), EOVERFLOW);
  });
});

t.test('a huge pmd gives all its pages in one step', async (t) => {
  run(function* (m, mm) {
    yield* map_anon(m, MAP, 513);
    yield* user_store32(m, MAP, 1);
    yield* user_store32(m, MAP + HUGE, 1);
    yield* lru_add_drain_all(m);
    const folio = mapped(m, mm, MAP);
    const pages = new Int32Array(3);
    t.equal(yield* pin_user_pages_fast(m, MAP + 510 * PAGE, 3, WRITE, pages), 3);
    t.same([...pages], [folio + 510, folio + 511, mapped(m, mm, MAP + HUGE)]);
    t.same([m.page._refcount[folio], large(m, folio)._pincount], [3, 2]);
    t.equal(m.page._refcount[pages[2]], 1 + 1024);
    t.ok(mm.flags & 2, 'MMF_HAS_PINNED');
    unpin_user_pages(m, pages, 3);
  }, 'always');
});

t.test('no pin while fork copies page tables, nor of a page shared with a child', async (t) => {
  run(function* (m, mm) {
    yield* map_anon(m, MAP, 1);
    yield* user_store32(m, MAP, 1);
    const pages = new Int32Array(1);
    mm.write_protect_seq++;
    t.equal(yield* gup_fast_fallback(m, MAP, 1, PIN | FAST_ONLY, pages), 0);
    t.equal(yield* only(m, MAP, 1), 1, 'a plain reference may be had');
    mm.write_protect_seq++;
    t.equal(yield* gup_fast_fallback(m, MAP, 1, PIN | FAST_ONLY, pages), 1);
    unpin_user_pages(m, pages, 1);

    let done = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      while (!done) yield* sched_yield(m);
    });
    const shared = mapped(m, mm, MAP);
    const refs = m.page._refcount[shared];
    t.equal(yield* gup_fast_fallback(m, MAP, 1, PIN | FAST_ONLY, pages), 0);
    t.equal(m.page._refcount[shared], refs);
    t.equal(yield* only(m, MAP, 1), 1);
    t.equal(yield* only(m, MAP, 1, WRITE), 0);
    t.equal(yield* pin_user_pages_fast(m, MAP, 1, 0, pages), 1);
    t.not(pages[0], shared);
    unpin_user_pages(m, pages, 1);
    done = true;
    yield* kernel_wait4(m, pid, 0);
  });
});

t.test('tmpfs may be pinned for long and for writing; unknown flags are refused', async (t) => {
  run(function* (m, mm) {
    yield* map_anon(m, MAP, 1, RW, SHARED);
    yield* user_store32(m, MAP, 1);
    const pages = new Int32Array(1);
    t.equal(yield* gup_fast_fallback(m, MAP, 1, PIN | LONGTERM | WRITE | FAST_ONLY, pages), 1);
    t.equal(pages[0], mapped(m, mm, MAP));
    unpin_user_pages(m, pages, 1);
    t.equal(yield* gup_fast_fallback(m, MAP, 1, 1 << 9, pages), EINVAL);
    t.same(
      m.log.warnings.splice(0).map((w) => w.fn),
      ['gup_fast_fallback'],
    );
  });
});
