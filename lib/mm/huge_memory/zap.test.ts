// SPDX-License-Identifier: GPL-2.0-only

import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { type ptdesc, pte_dirty, pte_pfn, pte_young } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_test_dirty, folio_test_swapbacked } from '../page-flags.ts';
import { folio_get, folio_order } from '../page.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { run_thp } from '../testing.ts';
import { folio_isolate_lru, folio_putback_lru } from '../vmscan.ts';
import { unmap_huge_pmd_locked } from './zap.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const RW = 3;
const PRIVATE_ANON_FIXED = 0x32;
const [NR_munmap, NR_madvise, DONTNEED, FREE] = [11, 28, 4, 8];
const ANON_PAGES = 1;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_thp(t, MAP, HUGE, function* (m, mm) {
    yield* sys_mmap(m, MAP + 2 * HUGE, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* user_store32(m, MAP + 2 * HUGE, 1);
    yield* body(m, mm);
  });
}

const entry = (mm: mm_struct): number => walk_address(mm, MAP).entry;
const level = (mm: mm_struct): string => walk_address(mm, MAP).level;
/** Treats a lazily freed folio like reclaim after it was isolated from the LRU. */
function* try_to_drop(m: Machine, mm: mm_struct, folio: number): Gen<boolean> {
  const { table, index } = walk_address(mm, MAP);
  const pmdt = table as ptdesc;
  yield* folio_lock(m, folio);
  t.ok(folio_isolate_lru(m, folio));
  yield* spin_lock(m, pmdt.ptl);
  const gone = unmap_huge_pmd_locked(m, vma_at(mm, MAP) as vm_area_struct, MAP, pmdt, index, folio);
  spin_unlock(m, pmdt.ptl);
  folio_unlock(m, folio);
  folio_putback_lru(m, folio);
  yield* lru_add_drain_all(m);
  return gone;
}

const folio_of = (m: Machine, mm: mm_struct): number => m.page.pfn_to_page(pte_pfn(entry(mm)));

t.test('unmapping gives back folio, counter and deposited table, of the zero folio the table', async (t) => {
  run(function* (m, mm) {
    yield* lru_add_drain_all(m);
    const before = [m.zone.nr_free, mm.rss_stat[ANON_PAGES], mm.pgtables_bytes];
    const now = (): unknown[] => [m.zone.nr_free, mm.rss_stat[ANON_PAGES], mm.pgtables_bytes];
    yield* user_store32(m, MAP, 1);
    yield* lru_add_drain_all(m);
    t.equal(m.zone.nr_free, before[0] - 512 - 1);
    t.equal(yield* do_syscall_64(m, NR_madvise, MAP, HUGE, DONTNEED), 0);
    t.same(now(), before);
    t.equal(yield* user_load32(m, MAP), 0, 'and the memory reads as zeroes');
    t.equal(level(mm), 'pmd');
    yield* do_syscall_64(m, NR_munmap, MAP, HUGE);
    t.same(now(), [before[0] - 512, ...before.slice(1)], 'the zero folio itself stays');
  });
});

t.test('a migration entry is uncounted, and its folio left to who migrates it', async (t) => {
  run(function* (m, mm) {
    const rss = mm.rss_stat[ANON_PAGES];
    yield* user_store32(m, MAP, 1);
    yield* lru_add_drain_all(m);
    const folio = folio_of(m, mm);
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* try_to_migrate(m, folio, 0);
    yield* do_syscall_64(m, NR_munmap, MAP, HUGE);
    t.same([mm.rss_stat[ANON_PAGES], m.page._refcount[folio]], [rss, 1]);
    folio_unlock(m, folio);
    folio_put(m, folio);
  });
});

t.test('MADV_FREE of a whole huge page makes it clean and disposable, until it is written to', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 5);
    yield* lru_add_drain_all(m);
    const folio = folio_of(m, mm);
    t.equal(yield* do_syscall_64(m, NR_madvise, MAP, HUGE, FREE), 0);
    yield* lru_add_drain_all(m);
    t.same(
      [level(mm), pte_young(entry(mm)), pte_dirty(entry(mm)), folio_test_swapbacked(m, folio)],
      ['pmd', false, false, false],
    );
    t.equal(yield* user_load32(m, MAP), 5, 'nobody took it yet');
    const drop = (): Gen<boolean> => try_to_drop(m, mm, folio);
    const free = m.zone.nr_free;
    folio_get(m, folio);
    t.notOk(yield* drop(), 'somebody else uses it');
    folio_put(m, folio);
    t.equal(level(mm), 'pmd');
    t.ok(yield* drop());
    t.same([entry(mm), m.zone.nr_free], [0, free + 512 + 1]);
    yield* user_store32(m, MAP, 6);
    yield* lru_add_drain_all(m);
  });
});

t.test('what was written to after MADV_FREE is kept, and backed by swap again', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 5);
    yield* lru_add_drain_all(m);
    yield* do_syscall_64(m, NR_madvise, MAP, HUGE, FREE);
    yield* lru_add_drain_all(m);
    yield* user_store32(m, MAP, 6);
    const folio = folio_of(m, mm);
    t.notOk(yield* try_to_drop(m, mm, folio));
    t.same([folio_test_dirty(m, folio), folio_test_swapbacked(m, folio)], [true, true]);
    t.equal(yield* user_load32(m, MAP), 6);
  });
});

t.test('MADV_FREE of a part splits the folio; a shared folio and the zero folio are left alone', async (t) => {
  run(function* (m, mm) {
    yield* user_load32(m, MAP);
    yield* do_syscall_64(m, NR_madvise, MAP, HUGE, FREE);
    t.equal(level(mm), 'pmd');
    for (let i = 0; i < 512; i++) yield* user_store32(m, MAP + i * PAGE, i + 1);
    yield* lru_add_drain_all(m);
    const folio = folio_of(m, mm);
    let done = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      while (!done) yield* sched_yield(m);
    });
    yield* do_syscall_64(m, NR_madvise, MAP, HUGE, FREE);
    t.same([level(mm), pte_dirty(entry(mm))], ['pmd', true]);
    done = true;
    yield* kernel_wait4(m, pid, 0);
    yield* do_syscall_64(m, NR_madvise, MAP, 2 * PAGE, FREE);
    t.same([level(mm), folio_order(m, folio)], ['pte', 0]);
    t.same(
      [0, 1, 2].map((i) => pte_dirty(walk_address(mm, MAP + i * PAGE).entry)),
      [false, false, true],
    );
    t.equal(yield* user_load32(m, MAP + PAGE), 2);
  });
});
