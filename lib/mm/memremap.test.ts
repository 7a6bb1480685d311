// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import { at_once } from '../kernel/testing.ts';
import { folio_unlock } from './filemap/folio_lock.ts';
import { folio_put } from './folio.ts';
import {
  dev_pagemap,
  folio_is_device_coherent,
  folio_is_device_private,
  memremap_pages,
  memunmap_pages,
  zone_device_folio_init,
} from './memremap.ts';
import { folio_order, page_folio, pfn_to_page } from './page.ts';
import { noting_ops } from './testing.ts';

const MiB = 1024 ** 2;
const SPM = 0x140000000;

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
