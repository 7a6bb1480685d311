// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import { swp_type } from '../leafops.ts';
import type { mm_struct } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { mmu_notifier, mmu_notifier_register } from '../mmu_notifier.ts';
import { folio_test_locked } from '../page-flags.ts';
import { release } from '../testing.ts';
import { make_device_exclusive } from './device_exclusive.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [R, RW] = [1, 3];
const [SHARED, PRIVATE, FIXED, ANON, HUGETLB] = [1, 2, 0x10, 0x20, 0x40000];
const [EFAULT, EOPNOTSUPP] = [-14, -95];
const THREAD = 0x10500;
/** The swap type of a device-exclusive entry. */
const EXCLUSIVE_ENTRY = 0x1e;
const [NOTIFY_CLEAR, NOTIFY_EXCLUSIVE] = [1, 7];
const RW_DIRTY_YOUNG = 0b11010;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine({ thp: 'always', nr_hugepages: 1 }), body);
}

function* make(m: Machine, mm: mm_struct, addr: number, owner: unknown = null): Gen<number> {
  yield* mmap_read_lock(m, mm);
  const page = yield* make_device_exclusive(m, mm, addr, owner);
  mmap_read_unlock(m, mm);
  return page;
}

const entry = (mm: mm_struct, addr: number): number => walk_address(mm, addr).entry;

t.test(
  'the pte becomes an entry that keeps page, mapping and contents; a CPU access waits for the lock and maps it again',
  async (t) => {
    run(function* (m, mm) {
      yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
      yield* user_store32(m, MAP, 42);
      const rss = mm.rss_stat[1];
      yield* lru_add_drain_all(m);
      const page = yield* make(m, mm, MAP + 100);
      t.equal(swp_type(entry(mm, MAP)), EXCLUSIVE_ENTRY);
      t.ok(folio_test_locked(m, page));
      t.same([m.page._refcount[page], m.page._mapcount[page]], [2, 0]);
      t.equal(mm.rss_stat[1], rss);
      let seen = 0;
      yield* kernel_clone(m, THREAD, function* () {
        seen = yield* user_load32(m, MAP);
      });
      for (let i = 0; i < 9; i++) yield* sched_yield(m);
      t.equal(seen, 0);
      release(m, page);
      while (seen === 0) yield* sched_yield(m);
      t.equal(seen, 42);
      t.equal(m.page.pfn_to_page(pte_pfn(entry(mm, MAP))), page);
      t.equal(entry(mm, MAP) & RW_DIRTY_YOUNG, RW_DIRTY_YOUNG);
    });
  },
);

t.test(
  'untouched memory gets a page first; an exclusive one can be made exclusive again; a huge pmd is split',
  async (t) => {
    run(function* (m, mm) {
      yield* sys_mmap(m, MAP, HUGE + PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
      let page = yield* make(m, mm, MAP + HUGE);
      t.equal(m.ram.bytes(m.page.page_to_pfn(page))[0], 0);
      release(m, page);
      t.equal(yield* make(m, mm, MAP + HUGE), page);
      release(m, page);
      yield* user_store32(m, MAP + 7 * PAGE, 7);
      t.equal(walk_address(mm, MAP).level, 'pmd');
      page = yield* make(m, mm, MAP + 7 * PAGE);
      t.equal(swp_type(entry(mm, MAP + 7 * PAGE)), EXCLUSIVE_ENTRY);
      t.equal(entry(mm, MAP + 8 * PAGE) & 1, 1, 'only the one page');
      folio_unlock(m, page - 7);
      folio_put(m, page - 7);
      t.equal(yield* user_load32(m, MAP + 7 * PAGE), 7);
    });
  },
);

t.test('only private anonymous memory that may be written to', async (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + HUGE, HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
    yield* sys_mmap(m, MAP + 2 * HUGE, PAGE, R, PRIVATE | ANON | FIXED, -1, 0);
    t.equal(yield* make(m, mm, MAP), EOPNOTSUPP);
    t.equal(yield* make(m, mm, MAP + HUGE), EOPNOTSUPP);
    t.equal(yield* make(m, mm, MAP + 2 * HUGE), EFAULT);
    t.equal(yield* make(m, mm, MAP + 4 * HUGE), EFAULT, 'nothing is mapped');
    yield* lru_add_drain_all(m);
    const folio = m.page.pfn_to_page(pte_pfn(entry(mm, MAP)));
    t.same([m.page._refcount[folio], folio_test_locked(m, folio)], [2, false], 'the cache and the mapping have it');
  });
});

t.test('mirrors learn the owner on the way in; the way back is a common invalidation', async (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    const seen: unknown[] = [];
    const sub = new mmu_notifier({
      *invalidate_range_start(_m, _sub, range) {
        if (range.start >= MAP && range.end <= MAP + PAGE) seen.push(range.event, range.owner, range.start, range.end);
        return 0;
      },
    });
    t.equal(yield* mmu_notifier_register(m, sub, mm), 0);
    release(m, yield* make(m, mm, MAP + 8, 'me'));
    t.same(seen, [NOTIFY_EXCLUSIVE, 'me', MAP, MAP + PAGE]);
    yield* user_store32(m, MAP, 2);
    t.equal(seen[4], NOTIFY_CLEAR);
    t.equal(yield* user_load32(m, MAP), 2);
  });
});
