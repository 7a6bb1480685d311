// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { type ptdesc, pte_dirty, pte_pfn, pte_write } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { address_space } from '../../fs/fs.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { pin_user_pages_unlocked } from '../gup/gup.ts';
import { unpin_user_pages } from '../gup/pin.ts';
import { make_pte_marker_entry, softleaf_to_pte } from '../leafops.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { hugetlb_fault, hugetlb_fault_mutex_hash } from './fault.ts';
import t from 'tap';

const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const RW = 3;
const [SHARED, PRIVATE] = [1, 2];
const FIXED_ANON_HUGETLB = 0x40030;
const THREAD = 0x10500;
const FAULT_WRITE = 1;
const [MARKER_POISONED, MARKER_GUARD] = [2, 4];
const [HWPOISON_LARGE, SIGSEGV] = [0x20, 0x40];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  const m = run_clean(t, small_machine({ nr_hugepages: 4 }), body);
  t.equal(m.hugetlb.default_hstate.free_huge_pages, 4);
}

const entry = (mm: mm_struct, addr: number): number => walk_address(mm, addr).entry;
const folio_at = (m: Machine, mm: mm_struct, addr: number): number => m.page.pfn_to_page(pte_pfn(entry(mm, addr)));

function map(m: Machine, n: number, flags = PRIVATE): Gen<number> {
  return sys_mmap(m, MAP, n * HUGE, RW, flags | FIXED_ANON_HUGETLB, -1, 0);
}

t.test('a read maps a page of its own read-only, and the write after it keeps that page', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 2);
    t.equal(yield* user_load32(m, MAP + 4096), 0);
    const before = entry(mm, MAP);
    t.notOk(pte_write(before) || pte_dirty(before));
    const folio = folio_at(m, mm, MAP);
    t.same([m.page._refcount[folio], PageAnonExclusive(m, folio)], [1, true]);
    yield* user_store32(m, MAP, 1);
    t.ok(pte_write(entry(mm, MAP)) && pte_dirty(entry(mm, MAP)));
    t.equal(folio_at(m, mm, MAP), folio);
    t.equal(m.hugetlb.default_hstate.free_huge_pages, 3);
  });
});

t.test('of a shared mapping even a read is mapped writable, from the page cache', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 2, SHARED);
    t.equal(yield* user_load32(m, MAP + HUGE), 0);
    t.ok(pte_write(entry(mm, MAP + HUGE)));
    const mapping = vma_at(mm, MAP)?.vm_file?.f_mapping as address_space;
    t.same([...mapping.i_pages], [[512, folio_at(m, mm, MAP + HUGE)]]);
    t.equal(m.page._refcount[folio_at(m, mm, MAP + HUGE)], 513, 'the cache holds one a page, the mapping one');
    const mutexes = [0, 1, 2].map((i) => hugetlb_fault_mutex_hash(m, mapping, i));
    t.equal(new Set(mutexes).size, 3, 'faults on other pages do not wait');
    t.equal(hugetlb_fault_mutex_hash(m, mapping, 1), mutexes[1]);
  });
});

t.test('threads that fault on one page at the same time get one page', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 1);
    let done = 0;
    for (let i = 0; i < 3; i++) {
      yield* kernel_clone(m, THREAD, function* () {
        yield* user_store32(m, MAP + 4 * i, i + 1);
        done++;
      });
    }
    while (done < 3) yield* sched_yield(m);
    t.same([yield* user_load32(m, MAP), yield* user_load32(m, MAP + 4), yield* user_load32(m, MAP + 8)], [1, 2, 3]);
    t.equal(m.hugetlb.default_hstate.free_huge_pages, 3);
    t.equal(mm.hugetlb_usage, 512);
  });
});

t.test('a write to an anonymous page waits for its lock', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 1);
    yield* user_load32(m, MAP);
    const folio = folio_at(m, mm, MAP);
    yield* folio_lock(m, folio);
    let done = false;
    yield* kernel_clone(m, THREAD, function* () {
      yield* user_store32(m, MAP, 9);
      done = true;
    });
    for (let i = 0; i < 9; i++) yield* sched_yield(m);
    t.notOk(done);
    folio_unlock(m, folio);
    while (!done) yield* sched_yield(m);
    t.same([yield* user_load32(m, MAP), folio_at(m, mm, MAP)], [9, folio]);
  });
});

t.test('a pin for reading unshares a page without making it writable', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 1);
    yield* user_store32(m, MAP, 6);
    const old = folio_at(m, mm, MAP);
    let done = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      while (!done) yield* sched_yield(m);
    });
    t.notOk(PageAnonExclusive(m, old));
    const pages = new Int32Array(1);
    t.equal(yield* pin_user_pages_unlocked(m, MAP, 1, pages, 0), 1);
    t.not(pages[0], old);
    t.equal(folio_at(m, mm, MAP), pages[0]);
    t.ok(PageAnonExclusive(m, pages[0]));
    t.notOk(pte_write(entry(mm, MAP)));
    t.equal(yield* user_load32(m, MAP), 6);
    unpin_user_pages(m, pages, 1);
    done = true;
    yield* kernel_wait4(m, pid, 0);
  });
});

t.test('markers: poison is reported with the size of the page, a guard is none of hugetlb', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 1);
    yield* user_store32(m, MAP, 1);
    const leaf = walk_address(mm, MAP);
    const table = leaf.table as ptdesc;
    const fault = function* (marker: number): Gen<number> {
      table.entry[leaf.index] = softleaf_to_pte(make_pte_marker_entry(marker));
      yield* mmap_read_lock(m, mm);
      const ret = yield* hugetlb_fault(m, mm, vma_at(mm, MAP) as vm_area_struct, MAP + 8, FAULT_WRITE);
      mmap_read_unlock(m, mm);
      return ret;
    };
    t.equal(yield* fault(MARKER_POISONED), HWPOISON_LARGE);
    t.equal(yield* fault(MARKER_GUARD), SIGSEGV);
    t.same(
      m.log.warnings.splice(0).map((w) => w.fn),
      ['hugetlb_fault'],
    );
    table.entry[leaf.index] = leaf.entry;
    t.equal(yield* user_load32(m, MAP), 1);
  });
});
