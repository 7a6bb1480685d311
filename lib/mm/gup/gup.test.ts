// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { pte_pfn, pte_write } from '../../arch/x86/mm/pgtable/pgtable.ts';
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
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { page_to_pfn } from '../page.ts';
import { map_anon } from '../testing.ts';
import {
  fixup_user_fault,
  get_user_pages,
  get_user_pages_unlocked,
  pin_user_pages,
  pin_user_pages_unlocked,
} from './gup.ts';
import { unpin_user_pages } from './pin.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [NONE, R, RW] = [0, 1, 3];
const [SHARED, PRIVATE, POPULATE] = [1, 2, 0x8000];
const [WRITE, GET, DUMP, FORCE, NOFAULT, ANON_ONLY, LONGTERM, SPLIT_PMD, TOUCH, PIN] = [
  1, 2, 4, 8, 0x20, 0x80, 0x100, 0x200, 0x10000, 0x80000,
];
const [NR_munmap, NR_madvise, POPULATE_READ, POPULATE_WRITE] = [11, 28, 22, 23];
const [ENOMEM, EFAULT, EINVAL] = [-12, -14, -22];
const FAULT_WRITE = 1;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>, thp: 'always' | 'never' = 'never'): Machine {
  return run_clean(t, small_machine({ thp }), body);
}

/** Calls get_user_pages() and drops the references at once. */
function* get(m: Machine, addr: number, nr: number, flags: number): Gen<number> {
  const pages = new Int32Array(nr);
  yield* mmap_read_lock(m, m.current.mm as mm_struct);
  const ret = yield* get_user_pages(m, addr, nr, flags, pages);
  mmap_read_unlock(m, m.current.mm as mm_struct);
  for (let i = 0; i < ret; i++) put_page(m, pages[i]);
  return ret;
}

const entry = (mm: mm_struct, addr: number): number => walk_address(mm, addr).entry;

t.test('pages are faulted in and get a reference each, as many as come before a hole', async (t) => {
  const m = run(function* (m, mm) {
    yield* map_anon(m, MAP, 3);
    const pages = new Int32Array(5);
    t.equal(yield* get_user_pages_unlocked(m, MAP + PAGE, 5, pages, WRITE), 2);
    yield* lru_add_drain_all(m);
    t.equal(page_to_pfn(m, pages[0]), pte_pfn(entry(mm, MAP + PAGE)));
    t.same(
      [...pages.slice(0, 2)].map((p) => m.page._refcount[p]),
      [2, 2],
    );
    t.equal(pages[2], 0);
    t.equal(entry(mm, MAP), 0);
    for (const p of pages.slice(0, 2)) put_page(m, p);
    t.equal(yield* get(m, MAP + 3 * PAGE, 1, 0), EFAULT);
    t.equal(yield* get_user_pages_unlocked(m, MAP, 1, null, WRITE), 1, 'without an array it only faults');
    t.equal(m.page._refcount[m.page.pfn_to_page(pte_pfn(entry(mm, MAP)))], 2, 'the mapping and the LRU batch');
  });
  t.same(m.log.warnings, []);
});

t.test('rights hold, and FOLL_FORCE overrules them for private memory by a copy', async (t) => {
  const m = run(function* (m, mm) {
    yield* map_anon(m, MAP, 1, R);
    yield* map_anon(m, MAP + HUGE, 1, R, SHARED);
    yield* map_anon(m, MAP + 2 * HUGE, 1, NONE);
    t.equal(yield* get(m, MAP, 1, WRITE), EFAULT);
    t.equal(yield* get(m, MAP + HUGE, 1, WRITE | FORCE), EFAULT);
    t.equal(yield* get(m, MAP + HUGE, 1, ANON_ONLY), EFAULT);
    t.equal(yield* get(m, MAP + 2 * HUGE, 1, 0), EFAULT);
    t.equal(yield* get(m, MAP + 2 * HUGE, 1, FORCE), 1);
    const before = mm.rss_stat[1];
    t.equal(yield* get(m, MAP, 1, WRITE | FORCE), 1);
    t.equal(mm.rss_stat[1], before + 1);
    t.notOk(pte_write(entry(mm, MAP)), 'the process may still not write');
  });
  t.same(m.log.warnings, []);
});

t.test('what may not fault, or dumps core, finds only what is there', async (t) => {
  const m = run(function* (m, mm) {
    yield* map_anon(m, MAP, 2);
    for (const flags of [NOFAULT, DUMP]) t.equal(yield* get(m, MAP, 1, flags), EFAULT);
    t.equal(walk_address(mm, MAP).level, 'none');
    yield* user_load32(m, MAP);
    t.equal(yield* get(m, MAP, 1, NOFAULT), 1, 'the zero page');
    t.equal(yield* get(m, MAP, 1, DUMP), EFAULT, 'which is not worth dumping');
    t.equal(yield* get(m, MAP, 1, NOFAULT | WRITE), EFAULT);
    yield* user_store32(m, MAP, 1);
    t.equal(yield* get(m, MAP, 2, DUMP), 1);
    yield* mmap_read_lock(m, mm);
    t.equal(yield* fixup_user_fault(m, mm, MAP + PAGE, FAULT_WRITE, null), 0);
    t.ok(pte_write(entry(mm, MAP + PAGE)));
    t.equal(yield* fixup_user_fault(m, mm, MAP + 2 * PAGE, 0, null), EFAULT);
    mmap_read_unlock(m, mm);
  });
  t.same(m.log.warnings, []);
});

t.test('a huge pmd gives many pages at a time; FOLL_SPLIT_PMD splits it', async (t) => {
  run(function* (m, mm) {
    yield* map_anon(m, MAP, 512);
    yield* user_store32(m, MAP, 1);
    yield* lru_add_drain_all(m);
    const pages = new Int32Array(4);
    t.equal(yield* get_user_pages_unlocked(m, MAP + 5 * PAGE, 4, pages, 0), 4);
    const folio = m.page.pfn_to_page(pte_pfn(entry(mm, MAP)));
    t.same(
      [...pages],
      [5, 6, 7, 8].map((i) => folio + i),
    );
    t.equal(m.page._refcount[folio], 5);
    for (const p of pages) put_page(m, p);
    t.equal(yield* get(m, MAP + 5 * PAGE, 1, WRITE | SPLIT_PMD), 1);
    t.equal(walk_address(mm, MAP).level, 'pte');
    t.equal(m.page._refcount[folio], 512);
  }, 'always');
});

t.test('a page shared with a child is unshared before it is pinned for reading', async (t) => {
  const m = run(function* (m, mm) {
    yield* map_anon(m, MAP, 1);
    yield* user_store32(m, MAP, 1);
    let done = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      while (!done) yield* sched_yield(m);
      t.equal(yield* user_load32(m, MAP), 1);
    });
    const shared = pte_pfn(entry(mm, MAP));
    t.equal(yield* get(m, MAP, 1, 0), 1);
    t.equal(pte_pfn(entry(mm, MAP)), shared, 'a plain reference leaves it');
    const pages = new Int32Array(1);
    t.equal(yield* pin_user_pages_unlocked(m, MAP, 1, pages, 0), 1);
    t.not(page_to_pfn(m, pages[0]), shared);
    yield* user_store32(m, MAP, 2);
    t.equal(pte_pfn(entry(mm, MAP)), page_to_pfn(m, pages[0]), 'later writes go to the pinned page');
    done = true;
    yield* kernel_wait4(m, pid, 0);
    unpin_user_pages(m, pages, 1);
  });
  t.same(m.log.warnings, []);
});

t.test('MAP_POPULATE and MADV_POPULATE_* fault in advance, and name the trouble', async (t) => {
  const m = run(function* (m, mm) {
    const before = mm.rss_stat[1];
    yield* map_anon(m, MAP, 4, RW, PRIVATE | POPULATE);
    t.equal(mm.rss_stat[1], before + 4);
    yield* map_anon(m, MAP + HUGE, 4);
    t.equal(yield* do_syscall_64(m, NR_madvise, MAP + HUGE, 4 * PAGE, POPULATE_READ), 0);
    t.equal(mm.rss_stat[1], before + 4, 'the zero page');
    t.equal(yield* do_syscall_64(m, NR_madvise, MAP + HUGE, 2 * PAGE, POPULATE_WRITE), 0);
    t.equal(mm.rss_stat[1], before + 6);
    yield* do_syscall_64(m, NR_munmap, MAP + HUGE + 2 * PAGE, PAGE);
    t.equal(yield* do_syscall_64(m, NR_madvise, MAP + HUGE, 4 * PAGE, POPULATE_WRITE), ENOMEM);
    yield* map_anon(m, MAP + 2 * HUGE, 1, R);
    t.equal(yield* do_syscall_64(m, NR_madvise, MAP + 2 * HUGE, PAGE, POPULATE_WRITE), EINVAL);
  });
  t.same(m.log.warnings, []);
});

t.test('flags that exclude each other are refused with a warning', async (t) => {
  run(function* (m) {
    yield* map_anon(m, MAP, 1);
    const pages = new Int32Array(1);
    for (const flags of [TOUCH, PIN, LONGTERM, GET | PIN]) t.equal(yield* get(m, MAP, 1, flags), EINVAL);
    t.equal(yield* get_user_pages(m, MAP, 1, GET, null), EINVAL);
    t.equal(yield* pin_user_pages(m, MAP, 1, GET, pages), 0, 'the pinning calls answer 0');
    const warnings = m.log.warnings.splice(0);
    t.ok(warnings.length > 0 && warnings.every((w) => w.fn === 'is_valid_gup_args'));
  });
});
