// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn, pte_present } from '../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { walk_address } from '../inspect.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../mm/filemap/folio_lock.ts';
import { folio_put } from '../mm/folio.ts';
import { softleaf_from_pte, softleaf_is_device_exclusive } from '../mm/leafops.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import { page_folio, pfn_to_page } from '../mm/page.ts';
import { folio_mapped } from '../mm/rmap/rmap.ts';
import { make_device_exclusive_range } from './exclusive_range.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [RW, PRIVATE, FIXED, ANON] = [3, 2, 0x10, 0x20];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(
    t,
    small_machine({
      thp: 'always',
      patches: ['exclusive-range', 'no-exclusive-mapcount', 'no-exclusive-hugetlb-check'],
    }),
    body,
  );
}

/** Returns which pages of the range became exclusive, after unlocking and releasing them. */
function* make(m: Machine, mm: mm_struct, addr: number, npages: number): Gen<boolean[]> {
  const pages = new Int32Array(npages);
  yield* mmap_read_lock(m, mm);
  t.equal(yield* make_device_exclusive_range(m, mm, addr, addr + npages * PAGE, pages, null), npages);
  mmap_read_unlock(m, mm);
  for (const page of pages.filter((p) => p !== 0)) {
    folio_unlock(m, page_folio(m, page));
    folio_put(m, page_folio(m, page));
  }
  return [...pages].map((p) => p !== 0);
}

function exclusive(mm: mm_struct, addr: number): boolean {
  const { entry } = walk_address(mm, addr);
  return !pte_present(entry) && softleaf_is_device_exclusive(softleaf_from_pte(entry));
}

t.test('pages become exclusive and unmapped, but for one whose lock is taken; a CPU access maps them again', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 3 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    for (let i = 0; i < 3; i++) yield* user_store32(m, MAP + i * PAGE, 40 + i);
    const [first, second] = [0, 1].map((i) => pfn_to_page(m, pte_pfn(walk_address(mm, MAP + i * PAGE).entry))) as [
      number,
      number,
    ];
    yield* folio_lock(m, second);
    t.same(yield* make(m, mm, MAP, 3), [true, false, true]);
    folio_unlock(m, second);
    t.same(
      [0, 1, 2].map((i) => exclusive(mm, MAP + i * PAGE)),
      [true, false, true],
    );
    t.notOk(folio_mapped(m, first));
    for (let i = 0; i < 3; i++) t.equal(yield* user_load32(m, MAP + i * PAGE), 40 + i);
    t.notOk(exclusive(mm, MAP));
    t.ok(folio_mapped(m, first));
  });
  t.end();
});

t.test('of a huge page the first is had, and with it every other, whose lock is taken then', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    t.same(yield* make(m, mm, MAP, 2), [true, false]);
    t.ok(exclusive(mm, MAP + 511 * PAGE));
    t.equal(yield* user_load32(m, MAP + 5 * PAGE), 0);
    t.same(
      yield* make(m, mm, MAP + 5 * PAGE, 1),
      [false],
      'an entry of the folio that is exclusive already ends the walk',
    );
  });
  t.end();
});
