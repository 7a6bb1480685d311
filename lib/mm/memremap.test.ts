// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { at_once } from '../kernel/testing.ts';
import { folio_unlock } from './filemap/folio_lock.ts';
import { folio_put } from './folio.ts';
import { deferred_split_folio } from './huge_memory/deferred_split.ts';
import {
  dev_pagemap,
  folio_is_device_coherent,
  folio_is_device_private,
  memremap_pages,
  memunmap_pages,
  page_pgmap,
  zone_device_folio_init,
  zone_device_lru_add_tail,
} from './memremap.ts';
import { folio_set_lru, folio_test_locked } from './page-flags.ts';
import { folio_order, page_folio, pfn_to_page } from './page.ts';
import { noting_ops } from './testing.ts';

const MiB = 1024 ** 2;
const SPM = 0x140000000;
/** an anon_vma's id, and FOLIO_MAPPING_ANON */
const ANON = 4 * 3 + 1;

function pagemap(type: number, start: number, freed: number[] = []): dev_pagemap {
  const pgmap = new dev_pagemap();
  pgmap.type = type;
  pgmap.owner = {};
  pgmap.nr_range = 1;
  pgmap.range.start = start;
  pgmap.range.end = start + 256 * MiB - 1;
  pgmap.ops = noting_ops(freed);
  return pgmap;
}

function machine(): Machine {
  return new Machine({ reserved: [{ start: SPM, size: 512 * MiB }] });
}

t.test('private memory has struct pages and no address', async (t) => {
  const m = machine();
  const freed: number[] = [];
  const pgmap = pagemap(1, 2 ** 40 - 256 * MiB, freed);
  t.equal(at_once(memremap_pages(m, pgmap, 0)), 2 ** 40 - 256 * MiB);
  const pfn = pgmap.range.start / 4096;
  const page = pfn_to_page(m, pfn);
  t.ok(folio_is_device_private(m, page));
  t.notOk(m.ram.is_linear(pfn));
  t.throws(() => m.ram.bytes(pfn), /unable to handle page fault/);

  zone_device_folio_init(m, page, pgmap, 9);
  t.equal(folio_order(m, page), 9);
  t.equal(page_folio(m, page + 511), page);
  t.equal(pgmap.ref, 513);
  folio_unlock(m, page);
  folio_put(m, page);
  t.same(freed, [page]);
  t.equal(pgmap.ref, 1);

  // The folio's second page on its own, and then the first: nothing of the old folio is left.
  zone_device_folio_init(m, page + 1, pgmap, 0);
  zone_device_folio_init(m, page, pgmap, 0);
  t.equal(page_folio(m, page + 1), page + 1);
  t.equal(folio_order(m, page), 0);
  for (const p of [page, page + 1]) {
    folio_unlock(m, p);
    folio_put(m, p);
  }
  at_once(memunmap_pages(m, pgmap));
  t.equal(m.pgmaps.live().length, 0);
});

t.test('unmapping waits for the last page', async (t) => {
  const m = machine();
  const pgmap = pagemap(1, 2 ** 40 - 256 * MiB);
  at_once(memremap_pages(m, pgmap, 0));
  const page = pfn_to_page(m, pgmap.range.start / 4096);
  zone_device_folio_init(m, page, pgmap, 0);
  const gen: Gen<void> = memunmap_pages(m, pgmap);
  t.equal(gen.next().done, false);
  folio_unlock(m, page);
  folio_put(m, page);
  t.equal(gen.next().done, true);
});

t.test('a page of a pgmap that is gone is made all the same, with a warning', async (t) => {
  const m = machine();
  const pgmap = pagemap(1, 2 ** 40 - 256 * MiB);
  at_once(memremap_pages(m, pgmap, 0));
  const page = pfn_to_page(m, pgmap.range.start / 4096);
  pgmap.ref = 0;
  zone_device_folio_init(m, page, pgmap, 0);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['zone_device_page_init'],
  );
  t.same([pgmap.ref, m.page._refcount[page], folio_test_locked(m, page)], [0, 1, true]);
});

t.test('coherent memory is addressable, and a second chunk on it conflicts with a warning', async (t) => {
  const m = machine();
  const pgmap = pagemap(2, SPM);
  t.equal(at_once(memremap_pages(m, pgmap, 0)), SPM);
  t.ok(folio_is_device_coherent(m, pfn_to_page(m, SPM / 4096)));
  t.ok(m.ram.is_linear(SPM / 4096));
  const second = pagemap(2, SPM);
  t.equal(at_once(memremap_pages(m, second, 0)), -12);
  t.equal(second.nr_range, 1);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['pagemap_range'],
  );
  t.ok(m.log.warnings[0]?.path.includes('memremap_pages'));
  at_once(memunmap_pages(m, pgmap));
  t.notOk(m.ram.is_linear(SPM / 4096));
  t.equal(at_once(memremap_pages(m, second, 0)), SPM, 'free again');
});

t.test('RAM, incomplete pgmaps and odd addresses are refused', async (t) => {
  const m = machine();
  t.equal(at_once(memremap_pages(m, pagemap(2, 0x100000000), 0)), -6);
  const bare = pagemap(1, 2 ** 39);
  bare.owner = null;
  t.equal(at_once(memremap_pages(m, bare, 0)), -22);
  t.equal(at_once(memremap_pages(m, pagemap(2, SPM + 4096), 0)), -22);
  t.match(m.log.lines.join('\n'), /Missing owner[^]*Misaligned/);
});

t.test(
  'a device page on an LRU list takes its pgmap for the list, and the next private and flags for the pgmap',
  async (t) => {
    const m = machine();
    const written: number[][] = [];
    const pgmap = pagemap(2, SPM);
    pgmap.ops = { ...noting_ops([]), overwritten: (_m, folio, data, page) => written.push([folio, data, page]) };
    at_once(memremap_pages(m, pgmap, 0));
    const head = pfn_to_page(m, SPM / 4096);
    m.page.zone_device_data[head] = 7;
    m.page.private[head + 2] = 1;
    zone_device_lru_add_tail(m, head + 1, head);
    t.same(written, [[head, 7, head + 1]], 'what the first page pointed at is the last entry of the list');
    zone_device_lru_add_tail(m, head + 2, head);
    t.equal(written.length, 1);
    t.equal(page_pgmap(m, head), pgmap, 'the first page leads nowhere else');
    t.same([...m.page.pgmap.subarray(head + 1, head + 3)], [-(head + 2), -head]);
    t.same([...m.page.zone_device_data.subarray(head, head + 3)], [-(head + 2), 7, -(head + 1)]);
    t.notOk(folio_is_device_coherent(m, head + 1));
    m.page.private[head + 3] = 2;
    t.ok(folio_is_device_coherent(m, head + 1), 'by the private of the page after the next one');
    t.not(page_pgmap(m, head + 1).owner, pgmap.owner);
  },
);

t.test(
  'a device page that points at nothing cannot be put on a list, nor one whose driver does not say what it is',
  async (t) => {
    const m = machine();
    at_once(memremap_pages(m, pagemap(2, SPM), 0));
    const head = pfn_to_page(m, SPM / 4096);
    t.throws(() => {
      zone_device_lru_add_tail(m, head + 1, head);
    }, /NULL pointer dereference/);
    m.page.zone_device_data[head] = 7;
    t.throws(() => {
      zone_device_lru_add_tail(m, head + 1, head);
    }, /zone_device_data is overwritten/);
  },
);

t.test(
  'freeing a charged device folio: off the deferred split queue with a warning, never from an LRU list',
  async (t) => {
    const m = machine();
    const freed: number[] = [];
    const pgmap = pagemap(2, SPM, freed);
    at_once(memremap_pages(m, pgmap, 0));
    const folio = pfn_to_page(m, SPM / 4096);
    zone_device_folio_init(m, folio, pgmap, 9);
    folio_unlock(m, folio);
    m.page.mapping[folio] = ANON;
    deferred_split_folio(m, folio, true);
    folio_put(m, folio);
    t.same(
      m.log.warnings.map((w) => w.fn),
      ['uncharge_folio'],
    );
    t.same(freed, [folio]);

    zone_device_folio_init(m, folio, pgmap, 0);
    folio_unlock(m, folio);
    folio_set_lru(m, folio);
    m.page.mapping[folio] = ANON;
    t.throws(() => {
      folio_put(m, folio);
    }, /uncharge_folio/);
  },
);

t.test('a device page without a pgmap is lost when it is freed, with a warning', async (t) => {
  const m = machine();
  const freed: number[] = [];
  const pgmap = pagemap(2, SPM, freed);
  at_once(memremap_pages(m, pgmap, 0));
  const page = pfn_to_page(m, SPM / 4096);
  for (const p of [page, page + 1]) {
    zone_device_folio_init(m, p, pgmap, 0);
    folio_unlock(m, p);
    m.page.pgmap[p] = 0;
    folio_put(m, p);
  }
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['free_zone_device_folio'],
  );
  t.same(freed, []);
  t.equal(pgmap.ref, 3);
});
