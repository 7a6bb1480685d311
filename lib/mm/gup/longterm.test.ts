// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { lru_add_drain_all, put_page } from '../folio.ts';
import { dev_pagemap, memremap_pages, memunmap_pages, zone_device_folio_init } from '../memremap.ts';
import type { mm_struct } from '../mm_types.ts';
import { replace_folio } from '../testing.ts';
import { get_user_pages_unlocked, pin_user_pages_fast, pin_user_pages_unlocked } from './gup.ts';
import { check_and_migrate_movable_pages } from './longterm.ts';
import { unpin_user_pages } from './pin.ts';

const PAGE = 4096;
const MAP = 0x200000000;
/** Device memory that CPUs can access. */
const [SPM, SPM_SIZE, MEMORY_DEVICE_COHERENT] = [0x140000000, 0x10000000, 2];
const [RW, PRIVATE_ANON_FIXED] = [3, 0x32];
const [WRITE, LONGTERM] = [1, 0x100];
const EBUSY = -16;

interface Device {
  /** Folios that were freed. */
  freed: number[];
  /** Migrates the page at the address to device memory and returns the new page. */
  take: (addr: number) => Gen<number>;
}

function run(body: (m: Machine, mm: mm_struct, dev: Device) => Gen<void>): void {
  run_clean(t, small_machine({ reserved: [{ start: SPM, size: SPM_SIZE }] }), function* (m, mm) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    for (let i = 0; i < 4; i++) yield* user_store32(m, MAP + i * PAGE, 10 + i);
    yield* lru_add_drain_all(m);
    const freed: number[] = [];
    const pgmap = new dev_pagemap();
    pgmap.type = MEMORY_DEVICE_COHERENT;
    pgmap.owner = m;
    pgmap.nr_range = 1;
    pgmap.range.start = SPM;
    pgmap.range.end = SPM + SPM_SIZE - 1;
    pgmap.ops = { folio_free: (_m, folio) => void freed.push(folio) };
    t.equal(yield* memremap_pages(m, pgmap, -1), SPM);
    let next = m.page.pfn_to_page(SPM / PAGE);
    const take = function* (addr: number): Gen<number> {
      const pfn = pte_pfn(walk_address(mm, addr).entry);
      const [src, dst] = [m.page.pfn_to_page(pfn), next++];
      zone_device_folio_init(m, dst, pgmap, 0);
      m.ram.copy(m.page.page_to_pfn(dst), pfn);
      yield* replace_folio(m, src, dst);
      return dst;
    };
    yield* body(m, mm, { freed, take });
    yield* lru_add_drain_all(m);
    t.equal(freed.length, next - m.page.pfn_to_page(SPM / PAGE), 'nothing is left on the device');
    yield* memunmap_pages(m, pgmap);
  });
}

const page_at = (m: Machine, mm: mm_struct, i: number): number =>
  m.page.pfn_to_page(pte_pfn(walk_address(mm, MAP + i * PAGE).entry));

t.test('a long pin of device memory moves it to system memory first, with its contents', async (t) => {
  run(function* (m, mm, dev) {
    const [second, third] = [yield* dev.take(MAP + PAGE), yield* dev.take(MAP + 2 * PAGE)];
    t.equal(yield* user_load32(m, MAP + PAGE), 11);
    t.equal(page_at(m, mm, 1), second);
    const stay = [page_at(m, mm, 0), page_at(m, mm, 3)];
    const pages = new Int32Array(4);
    t.equal(yield* pin_user_pages_unlocked(m, MAP, 4, pages, LONGTERM | WRITE), 4);
    t.same(
      [...pages],
      [0, 1, 2, 3].map((i) => page_at(m, mm, i)),
    );
    t.same([pages[0], pages[3]], stay, 'system memory stays where it is');
    t.same(dev.freed, [second, third]);
    yield* lru_add_drain_all(m);
    t.same(
      [...pages].map((p) => m.page._refcount[p]),
      [1025, 1025, 1025, 1025],
      'one pin each, the first ones are gone',
    );
    unpin_user_pages(m, pages, 4);
    for (let i = 0; i < 4; i++) t.equal(yield* user_load32(m, MAP + i * PAGE), 10 + i);
  });
});

t.test('the fast path leaves device memory to the slow one for a long pin only', async (t) => {
  run(function* (m, mm, dev) {
    const there = yield* dev.take(MAP);
    const pages = new Int32Array(1);
    t.equal(yield* pin_user_pages_fast(m, MAP, 1, WRITE, pages), 1);
    t.equal(pages[0], there, 'a short pin holds it on the device');
    unpin_user_pages(m, pages, 1);
    t.equal(yield* pin_user_pages_fast(m, MAP, 1, WRITE | LONGTERM, pages), 1);
    t.not(pages[0], there);
    t.same([dev.freed, pages[0]], [[there], page_at(m, mm, 0)]);
    unpin_user_pages(m, pages, 1);
  });
});

t.test('device memory that somebody else uses cannot move: -EBUSY, and no pin is left', async (t) => {
  run(function* (m, mm, dev) {
    const there = yield* dev.take(MAP + PAGE);
    const held = new Int32Array(1);
    t.equal(yield* get_user_pages_unlocked(m, MAP + PAGE, 1, held, 0), 1);
    const pages = new Int32Array(2);
    t.equal(yield* pin_user_pages_unlocked(m, MAP, 2, pages, LONGTERM), EBUSY);
    t.same(
      [page_at(m, mm, 0), there].map((p) => m.page._refcount[p]),
      [1, 2],
    );
    t.equal(yield* user_load32(m, MAP + PAGE), 11);
    put_page(m, held[0]);
    t.equal(yield* pin_user_pages_unlocked(m, MAP, 2, pages, LONGTERM), 2);
    unpin_user_pages(m, pages, 2);
  });
});

t.test('pins of system memory are good as they are', async (t) => {
  run(function* (m, mm) {
    const pages = new Int32Array(2);
    yield* pin_user_pages_unlocked(m, MAP, 2, pages, 0);
    const refs = [...pages].map((p) => m.page._refcount[p]);
    t.equal(yield* check_and_migrate_movable_pages(m, 2, pages), 0);
    t.same(
      [...pages].map((p) => m.page._refcount[p]),
      refs,
    );
    t.same([...pages], [page_at(m, mm, 0), page_at(m, mm, 1)]);
    unpin_user_pages(m, pages, 2);
  });
});
