// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { do_sys_open, ksys_ftruncate } from '../../fs/open.ts';
import { walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_put } from '../folio.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_assert_locked, mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { sys_mprotect } from '../mprotect.ts';
import { folio_get } from '../page.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { page_at } from '../testing.ts';
import { handle_mm_fault } from './fault.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [READ, RW] = [1, 3];
const [SHARED, PRIVATE, PRIVATE_ANON] = [0x11, 0x12, 0x32];
const [PRESENT, PTE_RW, DIRTY, SPECIAL] = [1, 2, 16, 128];
const [WRITE, ALLOW_RETRY, TRIED, UNSHARE] = [1, 4, 0x20, 0x400];
const COMPLETED = 0x4000;
const [anon_exclusive, dirty] = [1 << 7, 1 << 2];
const [ANONPAGES, SHMEMPAGES] = [1, 3];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>, thp: 'never' | 'always' = 'never'): void {
  run_clean(t, small_machine({ thp }), body);
}

/** Makes the entry read-only and clean. */
function protect(mm: mm_struct, addr: number): void {
  const { table, index, entry } = walk_address(mm, addr);
  (table as ptdesc).entry[index] = entry - (entry & (PTE_RW | DIRTY));
}

function* fault(m: Machine, mm: mm_struct, addr: number, flags: number): Gen<number> {
  yield* mmap_read_lock(m, mm);
  const ret = yield* handle_mm_fault(
    m,
    mm.mm_mt.find((v) => v.vm_start <= addr && addr < v.vm_end) as vm_area_struct,
    addr,
    flags,
  );
  if (!(ret & COMPLETED)) mmap_read_unlock(m, mm);
  return ret;
}

/** Forks a child that lives until the caller has done `body`. */
function* beside_child(m: Machine, body: () => Gen<void>): Gen<void> {
  let over = false;
  const pid = yield* kernel_clone(m, 0, function* () {
    while (!over) yield* sched_yield(m);
  });
  yield* body();
  over = true;
  yield* kernel_wait4(m, pid, 0);
}

t.test('who writes first after fork gets a copy, who is left writes in place', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP + 8, 5);
    const page = page_at(m, mm, MAP);
    yield* beside_child(m, function* () {
      yield* user_store32(m, MAP, 6);
      t.not(page_at(m, mm, MAP), page);
      t.equal(yield* user_load32(m, MAP + 8), 5);
      t.equal(folio_mapcount(m, page), 1, 'the child has the old one');
    });
    const own = page_at(m, mm, MAP);
    yield* beside_child(m, function* () {});
    t.equal(walk_address(mm, MAP).entry & PTE_RW, 0);
    t.equal(m.page.flags[own] & anon_exclusive, 0);
    yield* user_store32(m, MAP, 7);
    t.equal(page_at(m, mm, MAP), own);
    t.equal(m.page.flags[own] & anon_exclusive, anon_exclusive);
    t.equal(mm.rss_stat[ANONPAGES], 1);
  });
  t.end();
});

t.test('a reference of somebody else forbids reuse, unless the page is known to be exclusive', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    const page = page_at(m, mm, MAP);
    folio_get(m, page);
    protect(mm, MAP);
    t.equal(yield* fault(m, mm, MAP, WRITE), 0);
    t.same(
      [page_at(m, mm, MAP), walk_address(mm, MAP).entry & PTE_RW],
      [page, PTE_RW],
      'exclusive: the pin sees what is written',
    );
    yield* beside_child(m, function* () {});
    yield* user_store32(m, MAP, 6);
    t.not(page_at(m, mm, MAP), page);
    t.same([folio_mapcount(m, page), m.ram.bytes(m.page.page_to_pfn(page))[0]], [0, 5]);
    folio_put(m, page);
  });
  t.end();
});

t.test("unsharing gives a page of one's own that is still read-only", (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    yield* user_load32(m, MAP + PAGE);
    const page = page_at(m, mm, MAP);
    yield* beside_child(m, function* () {
      t.equal(yield* fault(m, mm, MAP, UNSHARE), 0);
      t.not(page_at(m, mm, MAP), page);
      t.equal(walk_address(mm, MAP).entry & (PRESENT | PTE_RW), PRESENT);
      t.equal(m.page.flags[page_at(m, mm, MAP)] & anon_exclusive, anon_exclusive);
      const before = walk_address(mm, MAP).entry;
      t.equal(yield* fault(m, mm, MAP, UNSHARE), 0);
      t.equal(walk_address(mm, MAP).entry, before, 'once is enough');
    });
    t.equal(yield* fault(m, mm, MAP + PAGE, UNSHARE), 0);
    t.equal(walk_address(mm, MAP + PAGE).entry & (PRESENT | PTE_RW | SPECIAL), PRESENT, 'the page of zeroes too');
    t.equal(mm.rss_stat[ANONPAGES], 2);
  });
  t.end();
});

t.test(
  'a write to a page of a file: private mappings copy it, shared ones dirty it and may drop the mmap lock',
  (t) => {
    run(function* (m, mm) {
      const fd = yield* do_sys_open(m, '/tmp', 0o20200002, 0o600);
      yield* ksys_ftruncate(m, fd, PAGE);
      yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE, fd, 0);
      yield* user_load32(m, MAP);
      const page = page_at(m, mm, MAP);
      t.same([mm.rss_stat[ANONPAGES], mm.rss_stat[SHMEMPAGES]], [0, 1]);
      yield* user_store32(m, MAP, 5);
      t.same([mm.rss_stat[ANONPAGES], mm.rss_stat[SHMEMPAGES]], [1, 0]);
      t.not(page_at(m, mm, MAP), page);
      yield* sys_mmap(m, MAP, PAGE, RW, SHARED, fd, 0);
      for (const [flags, answer] of [
        [ALLOW_RETRY, COMPLETED],
        [ALLOW_RETRY | TRIED, 0],
        [0, 0],
      ]) {
        yield* user_load32(m, MAP);
        protect(mm, MAP);
        m.page.flags[page] &= ~dirty;
        t.equal(yield* fault(m, mm, MAP, WRITE | flags), answer);
        t.throws(() => mmap_assert_locked(mm));
        t.equal(m.page.flags[page] & dirty, dirty);
        t.equal(walk_address(mm, MAP).entry & (PTE_RW | DIRTY), PTE_RW | DIRTY);
      }
    });
    t.end();
  },
);

t.test('part of a huge page in small mappings is reused once the child has let go of all of it', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    yield* sys_mprotect(m, MAP + PAGE, PAGE, READ);
    const pages = [0, 2].map((n) => page_at(m, mm, MAP + n * PAGE)) as [number, number];
    t.equal(pages[1], pages[0] + 2, 'still one folio');
    yield* beside_child(m, function* () {
      yield* user_store32(m, MAP, 6);
      t.not(page_at(m, mm, MAP), pages[0]);
    });
    yield* user_store32(m, MAP + 2 * PAGE, 6);
    t.equal(page_at(m, mm, MAP + 2 * PAGE), pages[1]);
    t.equal(mm.rss_stat[ANONPAGES], 512);
  }, 'always');
  t.end();
});
