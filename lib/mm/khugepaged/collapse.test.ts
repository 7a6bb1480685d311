// SPDX-License-Identifier: GPL-2.0-only

import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { type ptdesc, pte_clear_uffd, pte_mkuffd, pte_pfn } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { make_device_exclusive } from '../rmap/device_exclusive.ts';
import { collapse_scan_pmd, hugepage_vma_revalidate } from './collapse.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [RW, SHARED_ANON_FIXED, PRIVATE_ANON_FIXED] = [3, 0x31, 0x32];
const [NR_madvise, NOHUGEPAGE] = [28, 15];
const MMF_DISABLE_THP = 16;
const ANON_PAGES = 1;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* body(m, mm);
  });
}

const entry = (mm: mm_struct, i: number): number => walk_address(mm, MAP + i * PAGE).entry;
const page_at = (m: Machine, mm: mm_struct, i: number): number => m.page.pfn_to_page(pte_pfn(entry(mm, i)));

function* scan(m: Machine, mm: mm_struct): Gen<string> {
  const dropped = { val: false };
  yield* mmap_read_lock(m, mm);
  const r = yield* collapse_scan_pmd(m, mm, vma_at(mm, MAP) as vm_area_struct, MAP, dropped, {
    is_khugepaged: false,
    progress: 0,
  });
  if (!dropped.val) mmap_read_unlock(m, mm);
  return r;
}

t.test('pages are copied into one, holes and zero pages become memory, the old pages are freed', async (t) => {
  run(function* (m, mm) {
    t.equal(yield* scan(m, mm), 'SCAN_NO_PTE_TABLE');
    const rss = mm.rss_stat[ANON_PAGES];
    for (const i of [0, 5, 511]) yield* user_store32(m, MAP + i * PAGE, i + 1);
    yield* user_load32(m, MAP + 7 * PAGE);
    yield* lru_add_drain_all(m);
    const [old, free, tables] = [page_at(m, mm, 5), m.zone.nr_free, mm.pgtables_bytes];
    t.equal(yield* scan(m, mm), 'SCAN_SUCCEED');
    yield* lru_add_drain_all(m);
    t.equal(walk_address(mm, MAP).level, 'pmd');
    t.same([mm.rss_stat[ANON_PAGES], m.zone.nr_free, mm.pgtables_bytes], [rss + 512, free - 512 + 3, tables]);
    t.equal(m.page._refcount[old], 0);
    t.ok(PageAnonExclusive(m, page_at(m, mm, 0)));
    const values: number[] = [];
    for (const i of [0, 5, 7, 511, 6]) values.push(yield* user_load32(m, MAP + i * PAGE));
    t.same(values, [1, 6, 0, 512, 0]);
    t.equal(yield* scan(m, mm), 'SCAN_PMD_MAPPED');
    t.equal(m.thp.vm_events.get('THP_COLLAPSE_ALLOC'), 1);
  });
});

t.test('a page that somebody holds, locks or has not put on the LRU stops it, and all stays as it was', async (t) => {
  run(function* (m, mm) {
    for (const i of [0, 9]) yield* user_store32(m, MAP + i * PAGE, i + 1);
    t.equal(yield* scan(m, mm), 'SCAN_PAGE_LRU');
    yield* lru_add_drain_all(m);
    const page = page_at(m, mm, 9);
    m.page._refcount[page] = 2;
    t.equal(yield* scan(m, mm), 'SCAN_PAGE_COUNT');
    m.page._refcount[page] = 1;
    yield* folio_lock(m, page);
    t.equal(yield* scan(m, mm), 'SCAN_PAGE_LOCK');
    folio_unlock(m, page);
    const { table, index } = walk_address(mm, MAP + 9 * PAGE);
    (table as ptdesc).entry[index] = pte_mkuffd(entry(mm, 9));
    t.equal(yield* scan(m, mm), 'SCAN_PTE_UFFD');
    (table as ptdesc).entry[index] = pte_clear_uffd(entry(mm, 9));
    t.equal(page_at(m, mm, 9), page);
    t.equal(yield* scan(m, mm), 'SCAN_SUCCEED');
    t.equal(yield* user_load32(m, MAP + 9 * PAGE), 10);
  });
});

t.test('pages shared with a child are copied for the parent alone', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 4);
    let done = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      while (!done) yield* sched_yield(m);
      t.equal(yield* user_load32(m, MAP), 4);
    });
    yield* lru_add_drain_all(m);
    const shared = page_at(m, mm, 0);
    t.equal(m.page._refcount[shared], 2);
    t.equal(yield* scan(m, mm), 'SCAN_SUCCEED');
    t.equal(m.page._refcount[shared], 1);
    yield* user_store32(m, MAP, 5);
    done = true;
    yield* kernel_wait4(m, pid, 0);
  });
});

t.test('what a device has for itself is fetched back first', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP + PAGE, 4);
    yield* lru_add_drain_all(m);
    yield* mmap_read_lock(m, mm);
    const page = yield* make_device_exclusive(m, mm, MAP + PAGE, null);
    mmap_read_unlock(m, mm);
    folio_unlock(m, page);
    folio_put(m, page);
    t.equal(yield* scan(m, mm), 'SCAN_SUCCEED');
    t.equal(yield* user_load32(m, MAP + PAGE), 4);
  });
});

t.test('the vma is checked again after the lock was dropped', async (t) => {
  run(function* (m, mm) {
    const cc = { is_khugepaged: false, progress: 0 };
    const check = (addr: number, anon = true): string => hugepage_vma_revalidate(m, mm, addr, anon, cc, 9).result;
    t.equal(check(MAP), 'SCAN_VMA_CHECK', 'nothing was written yet');
    yield* user_store32(m, MAP, 1);
    t.equal(check(MAP), 'SCAN_SUCCEED');
    t.equal(check(0x7ffffffff000), 'SCAN_VMA_NULL');
    yield* sys_mmap(m, MAP + HUGE, HUGE, RW, SHARED_ANON_FIXED, -1, 0);
    t.equal(check(MAP + HUGE), 'SCAN_PAGE_ANON');
    t.equal(check(MAP + HUGE, false), 'SCAN_SUCCEED');
    yield* sys_mmap(m, MAP + 3 * HUGE, HUGE - PAGE, RW, SHARED_ANON_FIXED, -1, 0);
    t.equal(check(MAP + 3 * HUGE, false), 'SCAN_ADDRESS_RANGE');
    yield* do_syscall_64(m, NR_madvise, MAP, HUGE, NOHUGEPAGE);
    t.equal(check(MAP), 'SCAN_VMA_CHECK');
    mm.flags |= MMF_DISABLE_THP;
    t.equal(check(MAP), 'SCAN_ANY_PROCESS');
    mm.flags &= ~MMF_DISABLE_THP;
    t.throws(() => hugepage_vma_revalidate(m, mm, MAP, true, { is_khugepaged: true, progress: 0 }, 9), Unmodelled);
  });
});
