// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { type Asserts, run_clean, small_machine } from '../kernel/testing.ts';
import { hmm_pfn, hmm_pfn_to_map_order, hmm_pfn_to_u64, hmm_range, hmm_range_fault } from './hmm.ts';
import { memremap_pages, memunmap_pages, zone_device_folio_init } from './memremap.ts';
import type { mm_struct } from './mm_types.ts';
import { sys_munmap } from './mmap/mmap.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import {
  mmu_interval_notifier,
  mmu_interval_notifier_insert,
  mmu_interval_notifier_remove,
  mmu_interval_read_begin,
  mmu_interval_set_seq,
} from './mmu_notifier.ts';
import { sys_mprotect } from './mprotect.ts';
import { map_anon, page_at, private_pagemap, replace_folio, run_thp } from './testing.ts';

const [PAGE, HUGE] = [4096, 2 * 1024 * 1024];
const MAP = 0x200000000;
const [EPERM, EFAULT, EBUSY] = [1, 14, 16];
// The kernel's own layout, which hmm_pfn_to_u64() gives.
const [VALID, WRITE, ERROR] = [1n << 63n, 1n << 62n, 1n << 61n];
const ORDER_9 = 9n << 53n;
// What a driver asks for: to read, and to write. An entry of the model has the flags above a pfn of 32 bits.
const [TO_READ, TO_WRITE] = [1, 3];
const ENTRY_TO_WRITE = TO_WRITE * 2 ** 32;

t.test("an entry keeps its pfn, flags and order apart, and has the kernel's layout as 64 bits", (t) => {
  const [valid, write, error] = [1, 2, 4];
  t.equal(hmm_pfn_to_map_order(hmm_pfn(0x7ffffffe, valid | write | (18 << 6))), 18);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0x12345, valid)), VALID | 0x12345n);
  t.equal(hmm_pfn_to_u64(hmm_pfn(1, valid | write)), VALID | WRITE | 1n);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0, error)), ERROR);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0x200, valid | (9 << 6))), VALID | ORDER_9 | 0x200n);
  t.ok(Number.isSafeInteger(hmm_pfn(2 ** 32 - 1, valid | write | error | (31 << 6))));
  t.end();
});

/** A process with `pages` fresh pages at MAP, and a notifier over them. */
function with_notifier(
  t: Asserts,
  pages: number,
  body: (m: Machine, mm: mm_struct, n: mmu_interval_notifier) => Gen<void>,
): void {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, pages);
    const n = new mmu_interval_notifier();
    const invalidate = (mn: mmu_interval_notifier, _range: unknown, seq: number): boolean => {
      mmu_interval_set_seq(mn, seq);
      return true;
    };
    t.equal(
      yield* mmu_interval_notifier_insert(m, n, mm, MAP, pages * PAGE, {
        *invalidate(_m, mn, range, seq) {
          return invalidate(mn, range, seq);
        },
      }),
      0,
    );
    yield* body(m, mm, n);
    yield* mmu_interval_notifier_remove(m, n);
  });
}

/** hmm_range_fault() of pages [from, to) of MAP: what it returns, and the entries in the kernel's layout. */
function* fault(
  m: Machine,
  n: mmu_interval_notifier,
  [from, to]: [number, number],
  request: Partial<hmm_range> = {},
  entries: readonly number[] = [],
): Gen<{ ret: number; pfns: bigint[] }> {
  const range = new hmm_range();
  range.notifier = n;
  range.notifier_seq = yield* mmu_interval_read_begin(m, n);
  range.start = MAP + from * PAGE;
  range.end = MAP + to * PAGE;
  range.hmm_pfns = new Float64Array(to - from);
  range.hmm_pfns.set(entries);
  Object.assign(range, request);
  yield* mmap_read_lock(m, n.mm);
  const ret = yield* hmm_range_fault(m, range);
  mmap_read_unlock(m, n.mm);
  return { ret, pfns: [...range.hmm_pfns].map((e) => hmm_pfn_to_u64(e)) };
}

/** The entry of a page that the process has, with some flags. */
function entry(m: Machine, mm: mm_struct, page: number, flags: bigint): bigint {
  return BigInt(m.page.page_to_pfn(page_at(m, mm, MAP + page * PAGE))) | flags;
}

t.test('a snapshot shows what is mapped and faults nothing in', (t) => {
  with_notifier(t, 4, function* (m, mm, n) {
    yield* user_store32(m, MAP + PAGE, 7);
    const { ret, pfns } = yield* fault(m, n, [0, 4]);
    t.equal(ret, 0);
    t.same(pfns, [0n, entry(m, mm, 1, VALID | WRITE), 0n, 0n]);
    t.equal(mm.rss_stat[1], 1);
  });
  t.end();
});

t.test("the whole range is faulted in on request: for reading the zero page, for writing pages of one's own", (t) => {
  with_notifier(t, 3, function* (m, mm, n) {
    const read = yield* fault(m, n, [0, 3], { default_flags: TO_READ });
    const zero = BigInt(m.page.page_to_pfn(m.zero_page)) | VALID;
    t.same([read.ret, read.pfns], [0, [zero, zero, zero]]);
    const replaced = yield* fault(m, n, [0, 3], { default_flags: TO_WRITE });
    t.equal(replaced.ret, -EBUSY, 'replacing the zero page invalidates, and the driver starts again');
    const write = yield* fault(m, n, [0, 3], { default_flags: TO_WRITE });
    t.same([write.ret, write.pfns], [0, [0, 1, 2].map((i) => entry(m, mm, i, VALID | WRITE))]);
    t.equal(mm.rss_stat[1], 3);
  });
  t.end();
});

t.test('entries ask for single pages, as far as pfn_flags_mask lets them', (t) => {
  with_notifier(t, 3, function* (m, mm, n) {
    const ask = [ENTRY_TO_WRITE, 0, ENTRY_TO_WRITE];
    const masked = yield* fault(m, n, [0, 3], { pfn_flags_mask: 0 }, ask);
    t.same([masked.ret, masked.pfns], [0, [0n, 0n, 0n]]);
    const { ret, pfns } = yield* fault(m, n, [0, 3], { pfn_flags_mask: TO_WRITE }, ask);
    t.same([ret, pfns], [0, [0, 1, 2].map((i) => entry(m, mm, i, VALID | WRITE))], 'a hole is filled as a whole');
  });
  t.end();
});

t.test('a hole and a vma without rights are errors of who asks for a fault, and of nobody else', (t) => {
  with_notifier(t, 4, function* (m, _mm, n) {
    yield* sys_munmap(m, MAP + PAGE, PAGE);
    yield* sys_mprotect(m, MAP + 2 * PAGE, PAGE, 1);
    yield* sys_mprotect(m, MAP + 3 * PAGE, PAGE, 0);
    t.same(yield* fault(m, n, [1, 4]), { ret: 0, pfns: [ERROR, 0n, ERROR] });
    t.equal((yield* fault(m, n, [1, 2], { default_flags: TO_READ })).ret, -EFAULT);
    t.equal((yield* fault(m, n, [3, 4], { default_flags: TO_READ })).ret, -EFAULT);
    t.equal((yield* fault(m, n, [2, 3], { default_flags: TO_WRITE })).ret, -EPERM);
    t.equal((yield* fault(m, n, [2, 3], { default_flags: TO_READ })).ret, 0);
  });
  t.end();
});

t.test('an invalidation between the sequence number and the walk is -EBUSY', (t) => {
  with_notifier(t, 1, function* (m, _mm, n) {
    yield* user_store32(m, MAP, 1);
    const seq = yield* mmu_interval_read_begin(m, n);
    yield* sys_mprotect(m, MAP, PAGE, 1);
    t.equal((yield* fault(m, n, [0, 1], { notifier_seq: seq })).ret, -EBUSY);
    t.equal((yield* fault(m, n, [0, 1])).ret, 0);
  });
  t.end();
});

t.test('a huge page is one mapping of order 9, whose pages have pfns one after the other', (t) => {
  run_thp(t, MAP, HUGE, function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    const n = new mmu_interval_notifier();
    yield* mmu_interval_notifier_insert(m, n, mm, MAP, HUGE, {
      *invalidate(_m, mn, _range, seq) {
        mmu_interval_set_seq(mn, seq);
        return true;
      },
    });
    const { ret, pfns } = yield* fault(m, n, [510, 512]);
    const pfn = BigInt(m.page.page_to_pfn(page_at(m, mm, MAP)));
    t.same([ret, pfns], [0, [510n, 511n].map((i) => (pfn + i) | VALID | WRITE | ORDER_9)]);
    yield* mmu_interval_notifier_remove(m, n);
  });
  t.end();
});

t.test('a device sees its own private page where it is; another one sees nothing until it asks', (t) => {
  const owner = {};
  with_notifier(t, 1, function* (m, mm, n) {
    yield* user_store32(m, MAP, 9);
    const freed: number[] = [];
    const pgmap = private_pagemap(owner, freed);
    t.ok((yield* memremap_pages(m, pgmap, -1)) > 0);
    const page = m.page.pfn_to_page(pgmap.range.start / PAGE);
    zone_device_folio_init(m, page, pgmap, 0);
    yield* replace_folio(m, page_at(m, mm, MAP), page);
    const own = yield* fault(m, n, [0, 1], { dev_private_owner: owner });
    t.same(own, { ret: 0, pfns: [BigInt(pgmap.range.start / PAGE) | VALID | WRITE] });
    t.same(yield* fault(m, n, [0, 1], { dev_private_owner: {} }), { ret: 0, pfns: [0n] });
    yield* sys_munmap(m, MAP, PAGE);
    t.same(freed, [page]);
    yield* memunmap_pages(m, pgmap);
  });
  t.end();
});
