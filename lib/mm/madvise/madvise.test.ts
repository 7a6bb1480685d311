// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_memset, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, signal_of, small_machine } from '../../kernel/testing.ts';
import { lru_add_drain } from '../folio.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_mprotect } from '../mprotect.ts';
import { pfn_to_page } from '../page.ts';
import { sys_madvise } from './madvise.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [NONE, READ, RW] = [0, 1, 3];
const [SHARED, PRIVATE, FIXED, ANON, LOCKED, HUGETLB] = [1, 2, 0x10, 0x20, 0x2000, 0x40000];
const [NORMAL, RANDOM, SEQUENTIAL, DONTNEED, FREE, DONTFORK, DOFORK, MADV_HUGEPAGE, NOHUGEPAGE, DONTDUMP, WIPEONFORK] =
  [0, 1, 2, 4, 8, 10, 11, 14, 15, 16, 18];
const [POPULATE_READ, POPULATE_WRITE, DONTNEED_LOCKED, GUARD_INSTALL, GUARD_REMOVE] = [22, 23, 24, 102, 103];
const [VM_SEQ_READ, VM_RAND_READ, VM_DONTCOPY, VM_WIPEONFORK, VM_DONTDUMP, VM_HUGEPAGE, VM_NOHUGEPAGE] = [
  1 << 15,
  1 << 16,
  1 << 17,
  1 << 25,
  1 << 26,
  1 << 29,
  1 << 30,
];
const [ENOMEM, EFAULT, EINVAL] = [-12, -14, -22];
const SIGSEGV = 11;
const [ACCESSED, DIRTY] = [8, 16];

function run(body: (m: Machine) => Gen<void>, thp: 'never' | 'madvise' = 'never'): void {
  run_clean(t, small_machine({ nr_hugepages: 2, thp }), body);
}

function* map(m: Machine, page: number, pages: number, prot = RW, flags = PRIVATE): Gen<void> {
  yield* sys_mmap(m, MAP + page * PAGE, pages * PAGE, prot, flags | ANON | FIXED, -1, 0);
}

/** Advice about pages from MAP on. */
function* advise(m: Machine, page: number, pages: number, advice: number): Gen<number> {
  return yield* sys_madvise(m, MAP + page * PAGE, pages * PAGE, advice);
}

function vmas(m: Machine, mask: number): number[][] {
  return (m.current.mm as mm_struct).mm_mt
    .filter((v) => v.vm_start >= MAP && v.vm_end <= MAP + 2 * HUGE)
    .map((v) => [(v.vm_end - v.vm_start) / PAGE, v.vm_flags & mask]);
}

function entry(m: Machine, page: number): number {
  return walk_address(m.current.mm as mm_struct, MAP + page * PAGE).entry;
}

function anon_pages(m: Machine): number {
  return (m.current.mm as mm_struct).rss_stat[1];
}

t.test('advice that is none, ranges that are none, and holes', (t) => {
  run(function* (m) {
    yield* map(m, 0, 2);
    yield* map(m, 3, 1);
    yield* user_memset(m, MAP, 1, 2 * PAGE);
    yield* user_store32(m, MAP + 3 * PAGE, 1);
    t.equal(yield* advise(m, 0, 1, 5), EINVAL);
    t.equal(yield* advise(m, 0, 1, 26), EINVAL);
    t.equal(yield* advise(m, 0, 1, -1), EINVAL);
    t.equal(yield* sys_madvise(m, MAP + 1, PAGE, DONTNEED), EINVAL);
    t.equal(yield* sys_madvise(m, MAP, 2 ** 64 - PAGE, DONTNEED), EINVAL);
    t.equal(yield* sys_madvise(m, MAP, 0, DONTNEED), 0);
    t.equal(yield* advise(m, 8, 4, DONTNEED), ENOMEM);
    t.equal(yield* advise(m, 1, 3, DONTNEED), ENOMEM);
    t.equal(anon_pages(m), 1, 'what lies behind the hole went too');
    yield* map(m, 4, 1, RW, SHARED);
    t.equal(yield* advise(m, 4, 1, FREE), EINVAL, 'only anonymous memory is freed lazily');
    t.equal(yield* advise(m, 4, 1, WIPEONFORK), EINVAL);
    yield* map(m, 5, 1, NONE, PRIVATE | LOCKED);
    t.equal(yield* advise(m, 5, 1, DONTNEED), EINVAL);
    t.equal(yield* advise(m, 5, 1, DONTNEED_LOCKED), 0);
    t.equal(yield* advise(m, 5, 1, GUARD_INSTALL), EINVAL);
    t.equal(yield* advise(m, 5, 1, GUARD_REMOVE), 0, 'locked memory may lose its guards');
    yield* map(m, 512, 512, RW, PRIVATE | HUGETLB);
    t.equal(yield* advise(m, 513, 512, DONTNEED), EINVAL);
    t.equal(yield* advise(m, 512, 1, FREE), EINVAL);
    t.equal(yield* advise(m, 512, 1, GUARD_INSTALL), EINVAL);
  });
  t.end();
});

t.test('advice that is a flag splits and merges mappings', (t) => {
  run(function* (m) {
    yield* map(m, 0, 4);
    const cases: [number, number, number][] = [
      [SEQUENTIAL, VM_SEQ_READ | VM_RAND_READ, VM_SEQ_READ],
      [RANDOM, VM_SEQ_READ | VM_RAND_READ, VM_RAND_READ],
      [DONTFORK, VM_DONTCOPY, VM_DONTCOPY],
      [DONTDUMP, VM_DONTDUMP, VM_DONTDUMP],
      [WIPEONFORK, VM_WIPEONFORK, VM_WIPEONFORK],
      [MADV_HUGEPAGE, VM_HUGEPAGE | VM_NOHUGEPAGE, VM_HUGEPAGE],
      [NOHUGEPAGE, VM_HUGEPAGE | VM_NOHUGEPAGE, VM_NOHUGEPAGE],
    ];
    for (const [advice, mask, flags] of cases) {
      t.equal(yield* advise(m, 1, 1, advice), 0);
      t.same(
        vmas(m, mask),
        [
          [1, 0],
          [1, flags],
          [2, 0],
        ],
        `advice ${advice}`,
      );
      yield* map(m, 0, 4);
    }
    yield* advise(m, 1, 1, RANDOM);
    yield* advise(m, 2, 1, DONTFORK);
    t.equal(yield* advise(m, 0, 4, NORMAL), 0);
    t.equal(yield* advise(m, 0, 4, DOFORK), 0);
    t.same(vmas(m, VM_RAND_READ | VM_DONTCOPY), [[4, 0]]);
  }, 'madvise');
  t.end();
});

t.test('MADV_DONTNEED forgets pages at once, a child keeps its own', (t) => {
  run(function* (m) {
    yield* map(m, 0, 3);
    yield* user_memset(m, MAP, 3, 3 * PAGE);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* advise(m, 0, 3, DONTNEED), 0);
      t.equal(anon_pages(m), 0);
      t.equal(yield* user_load32(m, MAP), 0);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal(yield* advise(m, 1, 1, DONTNEED), 0);
    t.same([entry(m, 1), anon_pages(m)], [0, 2]);
    t.equal(yield* user_load32(m, MAP + PAGE), 0);
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 0x03030303);
  });
  t.end();
});

t.test('MADV_FREE makes pages clean, old and no longer swap-backed', (t) => {
  run(function* (m) {
    const swapbacked = 1 << 6;
    const flags = (n: number): number => m.page.flags[pfn_to_page(m, Math.floor(entry(m, n) / 2 ** 20))];
    yield* map(m, 0, 2);
    yield* user_memset(m, MAP, 3, 2 * PAGE);
    t.equal(flags(0) & swapbacked, swapbacked);
    t.equal(entry(m, 0) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
    t.equal(yield* advise(m, 0, 1, FREE), 0);
    t.equal(entry(m, 0) & (ACCESSED | DIRTY), 0);
    t.equal(entry(m, 1) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
    lru_add_drain(m);
    t.equal(flags(0) & swapbacked, 0);
    t.equal(yield* user_load32(m, MAP), 0x03030303, 'until memory is short nothing is lost');
    yield* user_store32(m, MAP, 4);
    t.equal(entry(m, 0) & DIRTY, DIRTY);
  });
  t.end();
});

t.test('MADV_FREE of part of a huge page splits it, of all of it takes it whole', (t) => {
  run(function* (m) {
    const level = (): string => walk_address(m.current.mm as mm_struct, MAP).level;
    yield* map(m, 0, 512);
    yield* advise(m, 0, 512, MADV_HUGEPAGE);
    yield* user_memset(m, MAP, 3, HUGE);
    t.equal(yield* advise(m, 0, 512, FREE), 0);
    t.same([level(), entry(m, 0) & (ACCESSED | DIRTY)], ['pmd', 0]);
    yield* user_memset(m, MAP, 4, HUGE);
    t.equal(yield* advise(m, 3, 2, FREE), 0);
    t.equal(level(), 'pte');
    t.same(
      [2, 3, 4, 5].map((n) => entry(m, n) & (ACCESSED | DIRTY)),
      [24, 0, 0, 24],
    );
    t.equal(m.page.order[pfn_to_page(m, Math.floor(entry(m, 3) / 2 ** 20))], 0);
    t.same([anon_pages(m), yield* user_load32(m, MAP + 4 * PAGE)], [512, 0x04040404]);
  }, 'madvise');
  t.end();
});

t.test('MADV_POPULATE faults pages in for reading or writing, and says what is in its way', (t) => {
  run(function* (m) {
    yield* map(m, 0, 2);
    yield* map(m, 2, 2, READ);
    t.equal(yield* advise(m, 0, 4, POPULATE_READ), 0);
    t.same([anon_pages(m), [0, 1, 2, 3].filter((n) => entry(m, n) !== 0).length], [0, 4], 'the page of zeroes');
    t.equal(yield* advise(m, 0, 2, POPULATE_WRITE), 0);
    t.equal(anon_pages(m), 2);
    t.equal(yield* advise(m, 1, 2, POPULATE_WRITE), EINVAL);
    t.equal(yield* advise(m, 2, 4, POPULATE_READ), ENOMEM);
    yield* advise(m, 1, 1, GUARD_INSTALL);
    t.equal(yield* advise(m, 1, 1, POPULATE_READ), EFAULT);
  });
  t.end();
});

t.test('guards replace what is mapped, outlive MADV_DONTNEED and mprotect, and leave empty memory', (t) => {
  run(function* (m) {
    yield* map(m, 0, 4);
    yield* user_memset(m, MAP, 3, 4 * PAGE);
    t.equal(yield* advise(m, 1, 2, GUARD_INSTALL), 0);
    t.equal(anon_pages(m), 2);
    t.equal(vmas(m, 0).length, 1, 'guards need no mapping of their own');
    t.equal(yield* signal_of(user_load32(m, MAP + PAGE)), SIGSEGV);
    t.equal(yield* advise(m, 0, 4, DONTNEED), 0);
    yield* sys_mprotect(m, MAP, 4 * PAGE, READ);
    yield* sys_mprotect(m, MAP, 4 * PAGE, RW);
    t.equal(yield* signal_of(user_store32(m, MAP + 2 * PAGE, 1)), SIGSEGV);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* signal_of(user_load32(m, MAP + PAGE)), SIGSEGV);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal(yield* user_load32(m, MAP + 3 * PAGE), 0);
    t.equal(yield* advise(m, 0, 2, GUARD_REMOVE), 0);
    t.equal(yield* user_load32(m, MAP + PAGE), 0);
    t.equal(yield* signal_of(user_load32(m, MAP + 2 * PAGE)), SIGSEGV);
    yield* map(m, 0, 4);
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 0, 'a new mapping has none');
  });
  t.end();
});
