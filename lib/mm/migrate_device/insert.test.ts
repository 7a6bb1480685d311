// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { Oops } from '../../kernel/printk.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain } from '../folio.ts';
import { swp_type } from '../leafops.ts';
import { memremap_pages, memunmap_pages, zone_device_folio_init } from '../memremap.ts';
import type { mm_struct } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { page_to_pfn, pfn_to_page } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { leaf_at, private_pagemap, vma_of } from '../testing.ts';
import { migrate_vma_insert_page } from './insert.ts';
import { migrate_vma } from './migrate_vma.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [READ, RW] = [1, 3];
const [SHARED_ANON, PRIVATE_ANON] = [0x31, 0x32];
const [VALID, MIGRATE, COMPOUND] = [1, 2, 16];
const [PRESENT, PTE_RW, DIRTY, PSE] = [1, 2, 16, 32];
const [VM_UFFD_MISSING, MMF_UNSTABLE] = [0x200, 8];
const anon_exclusive = 1 << 7;
const GFP_ZERO = 0x100;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine(), body);
}

/** Inserts a page at an address. Returns the source entries, which started as MIGRATE. */
function* insert(m: Machine, mm: mm_struct, addr: number, page: number, flags = VALID, nr = 1): Gen<number[]> {
  const migrate = new migrate_vma();
  migrate.vma = vma_of(mm, addr);
  const dst = new Float64Array(nr);
  const src = new Float64Array(nr).fill(MIGRATE);
  dst[0] = page_to_pfn(m, page) * 64 + flags;
  yield* mmap_read_lock(m, mm);
  yield* migrate_vma_insert_page(m, migrate, addr, dst, src, 0);
  mmap_read_unlock(m, mm);
  lru_add_drain(m);
  return [...src];
}

t.test('a page is mapped where nothing or the page of zeroes is, with the rights of the mapping', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* sys_mmap(m, MAP + 2 * PAGE, PAGE, READ, PRIVATE_ANON, -1, 0);
    yield* user_load32(m, MAP + PAGE);
    for (const n of [0, 1, 2]) {
      const page = folio_alloc(m, GFP_ZERO, 0);
      m.ram.bytes(page_to_pfn(m, page))[0] = 5 + n;
      t.same(yield* insert(m, mm, MAP + n * PAGE, page), [MIGRATE]);
      const { entry } = leaf_at(mm, MAP + n * PAGE);
      t.equal(Math.floor(entry / 2 ** 20), page_to_pfn(m, page));
      t.equal(entry & (PRESENT | PTE_RW | DIRTY), n === 2 ? PRESENT : PRESENT | PTE_RW | DIRTY);
      t.same([m.page._refcount[page], folio_mapcount(m, page), mm.rss_stat[1]], [2, 1, n + 1]);
      t.equal(m.page.flags[page] & anon_exclusive, anon_exclusive);
      folio_put(m, page);
      t.equal(yield* user_load32(m, MAP + n * PAGE), 5 + n, 'whatever the TLB held');
    }
  });
  t.end();
});

t.test('a page that came in the meantime, a file and a dying address space keep it out', (t) => {
  run(function* (m, mm) {
    const page = folio_alloc(m, GFP_ZERO, 0);
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* sys_mmap(m, MAP + 2 * PAGE, PAGE, RW, SHARED_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    t.same(yield* insert(m, mm, MAP, page), [0]);
    t.equal(yield* user_load32(m, MAP), 5);
    t.same(yield* insert(m, mm, MAP + 2 * PAGE, page), [0]);
    vma_of(mm, MAP).vm_flags |= VM_UFFD_MISSING;
    t.same(yield* insert(m, mm, MAP + PAGE, page), [0], 'userfaultfd answers');
    vma_of(mm, MAP).vm_flags &= ~VM_UFFD_MISSING;
    mm.flags |= MMF_UNSTABLE;
    t.same(yield* insert(m, mm, MAP + PAGE, page), [0]);
    mm.flags &= ~MMF_UNSTABLE;
    t.same(
      [m.page._refcount[page], folio_mapcount(m, page), mm.rss_stat[1], leaf_at(mm, MAP + PAGE).entry],
      [1, 0, 1, 0],
    );
    folio_put(m, page);
    let oops = false;
    try {
      yield* migrate_vma_insert_page(m, new migrate_vma(), MAP, new Float64Array([0]), new Float64Array([MIGRATE]), 0);
    } catch (e) {
      oops = e instanceof Oops;
    }
    t.ok(oops, 'no destination at all');
  });
  t.end();
});

t.test('a device private page gets a device private entry', (t) => {
  run(function* (m, mm) {
    const freed: number[] = [];
    const pgmap = private_pagemap('me', freed);
    yield* memremap_pages(m, pgmap, 0);
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* sys_mmap(m, MAP + PAGE, PAGE, READ, PRIVATE_ANON, -1, 0);
    for (const n of [0, 1]) {
      const page = pfn_to_page(m, pgmap.range.start / PAGE + n);
      zone_device_folio_init(m, page, pgmap, 0);
      t.same(yield* insert(m, mm, MAP + n * PAGE, page), [MIGRATE]);
      t.equal(swp_type(leaf_at(mm, MAP + n * PAGE).entry), n === 0 ? 0x1c : 0x1d, 'writable, readable');
      t.same([m.page._refcount[page], folio_mapcount(m, page), mm.rss_stat[1]], [2, 1, n + 1]);
      folio_unlock(m, page);
      folio_put(m, page);
    }
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE_ANON, -1, 0);
    t.equal(freed.length, 2);
    yield* memunmap_pages(m, pgmap);
  });
  t.end();
});

t.test('a huge page is mapped by one pmd, or not at all', (t) => {
  run(function* (m, mm) {
    const page = folio_alloc(m, GFP_ZERO, 9);
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    t.same(
      yield* insert(m, mm, MAP, page, VALID | COMPOUND, 512),
      Array(512).fill(0),
      'a table of small pages is in the way',
    );
    t.same([m.page._refcount[page], mm.rss_stat[1]], [1, 1]);
    const bytes = mm.pgtables_bytes;
    t.same(yield* insert(m, mm, MAP + HUGE, page, VALID | COMPOUND, 512), Array(512).fill(MIGRATE));
    const leaf = leaf_at(mm, MAP + HUGE);
    t.same([leaf.level, leaf.entry & (PSE | PTE_RW | DIRTY)], ['pmd', PSE | PTE_RW | DIRTY]);
    t.same([m.page._refcount[page], folio_mapcount(m, page), mm.rss_stat[1]], [2, 1, 513]);
    t.equal(mm.pgtables_bytes, bytes + PAGE, 'a table is laid by for a split');
    folio_put(m, page);
    yield* user_store32(m, MAP + HUGE + 9 * PAGE, 7);
    t.equal(m.ram.bytes(page_to_pfn(m, page) + 9)[0], 7);
  });
  t.end();
});
