// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { _PAGE_PRESENT, _PAGE_PSE, _PAGE_TABLE, pfn_pte, ptdesc } from '../arch/x86/mm/pgtable/pgtable.ts';
import { boot } from '../boot.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { at_once } from '../kernel/testing.ts';
import type { PatchId } from '../patches/index.ts';
import { memremap_device_private_pagemap, memunmap_device_private_pagemap } from './device_private.ts';
import { folio_unlock } from './filemap/folio_lock.ts';
import { folio_put } from './folio.ts';
import {
  hmm_pfn,
  HMM_PFN_ORDER_SHIFT,
  hmm_pfn_to_map_order,
  hmm_pfn_to_page,
  hmm_pfn_to_u64,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from './hmm.ts';
import {
  make_device_exclusive_entry,
  make_migration_entry_dirty,
  make_migration_entry_young,
  make_readable_device_private_entry_from_page,
  make_readable_exclusive_migration_entry_from_page,
  make_readable_migration_entry_from_page,
  make_writable_device_private_entry_from_page,
  make_writable_migration_entry_from_page,
  softleaf_is_migration,
  softleaf_is_migration_device_private,
  softleaf_is_migration_dirty,
  softleaf_is_migration_read,
  softleaf_is_migration_read_exclusive,
  softleaf_is_migration_write,
  softleaf_is_migration_young,
  softleaf_to_flags,
  softleaf_to_page,
  swp_type,
} from './leafops.ts';
import {
  dev_pagemap,
  folio_is_device_private,
  get_dev_pagemap,
  memremap_pages,
  zone_device_folio_init,
} from './memremap.ts';
import { migrate_pfn_from_page, migrate_pfn_to_page } from './migrate_device/migrate_vma.ts';
import { migrate_device_range } from './migrate_device/pages.ts';
import type { vm_area_struct } from './mm_types.ts';
import { folio_test_large, page_to_pfn, pfn_to_page } from './page.ts';
import {
  DEFINE_FOLIO_VMA_WALK,
  page_vma_mapped_walk,
  page_vma_mapped_walk_done,
  PVMW_MIGRATION,
} from './page_vma_mapped.ts';
import { noting_ops } from './testing.ts';

const MiB = 1024 ** 2;
const [PRIVATE, COHERENT, EINVAL] = [1, 2, 22];
const [HUGE_PMD, PMD_TABLE] = [_PAGE_PRESENT | _PAGE_PSE, _PAGE_TABLE | _PAGE_PRESENT];
const [MPFN_VALID, MPFN_DEVICE_PRIVATE] = [1, 32];

function machine(...patches: PatchId[]): Machine {
  return boot({ mem: 128 * MiB, patches: ['device-private-offsets', ...patches] });
}

function pagemap(pages: number): dev_pagemap {
  const pgmap = new dev_pagemap();
  pgmap.type = PRIVATE;
  pgmap.owner = {};
  pgmap.nr_pages = pages;
  pgmap.ops = noting_ops([]);
  return pgmap;
}

/** A pagemap of so many pages that is mapped. */
function mapped(m: Machine, pages: number): dev_pagemap {
  const pgmap = pagemap(pages);
  t.equal(memremap_device_private_pagemap(m, pgmap, 0), 0);
  return pgmap;
}

t.test('offsets begin at 0, are handed out first fit, and are used again', (t) => {
  const m = machine();
  const [a, b, c] = [mapped(m, 65536), mapped(m, 3), mapped(m, 65536)];
  t.same(
    [a, b, c].map((p) => p.range.start / 4096),
    [0, 65536, 65539],
  );
  t.equal(b.range.end, 65539 * 4096 - 1);
  t.equal(m.device_private.offset_to_page(65540), c.pages + 1);
  t.equal(m.device_private.page_number(c.pages + 1), 65540);
  t.ok(folio_is_device_private(m, c.pages));
  t.equal(get_dev_pagemap(m, 0), null, 'the pfn of that number is none of theirs');

  const rows = m.page.rows;
  at_once(memunmap_device_private_pagemap(m, a));
  t.equal(m.device_private.offset_to_page(5), 0, 'an offset that nobody has');
  t.equal(m.device_private.offset_to_page(6), 0);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['device_private_offset_to_page'],
    'warned of once',
  );
  const d = mapped(m, 65536);
  t.equal(d.range.start, 0);
  t.equal(m.page.rows, rows, 'the struct pages too');
  t.equal(mapped(m, 32768).range.start / 4096, 65539 + 65536);
  t.end();
});

t.test('unmapping waits for the last page', (t) => {
  const m = machine();
  const pgmap = mapped(m, 512);
  zone_device_folio_init(m, pgmap.pages, pgmap, 0);
  const gen: Gen<void> = memunmap_device_private_pagemap(m, pgmap);
  t.equal(gen.next().done, false);
  folio_unlock(m, pgmap.pages);
  folio_put(m, pgmap.pages);
  t.equal(gen.next().done, true);
  t.end();
});

t.test('what is incomplete is refused, and so is memremap_pages() of private memory', (t) => {
  const m = machine();
  const bare = pagemap(16);
  bare.owner = null;
  const deaf = pagemap(16);
  deaf.ops = {};
  const coherent = pagemap(16);
  coherent.type = COHERENT;
  for (const p of [bare, deaf, coherent]) t.equal(memremap_device_private_pagemap(m, p, 0), -EINVAL);
  t.match(m.log.lines.join('\n'), /Missing owner[^]*Missing migrate_to_ram[^]*Invalid pgmap type 2/);
  const old = pagemap(0);
  old.nr_range = 1;
  old.range.start = 2 ** 39;
  old.range.end = 2 ** 39 + 256 * MiB - 1;
  t.equal(at_once(memremap_pages(m, old, 0)), -EINVAL);
  t.equal(m.pgmaps.live().length, 0);
  t.end();
});

t.test('NUMA_NO_NODE is the node of the caller; in v2 it was none', (t) => {
  for (const [nid, ...patches] of [[0], [-1, 'offsets-v2-nid']] as [number, ...PatchId[]][]) {
    const pgmap = pagemap(16);
    memremap_device_private_pagemap(machine(...patches), pgmap, -1);
    t.equal(pgmap.nid, nid);
  }
  t.end();
});

t.test('what encodes a page decodes to it, for private pages and for the pages with their numbers', (t) => {
  const m = machine();
  const pgmap = mapped(m, 65536);
  zone_device_folio_init(m, pgmap.pages + 0x2000, pgmap, 9);
  t.ok(folio_test_large(m, pgmap.pages + 0x2000));
  for (const page of [pgmap.pages + 0x2001, pfn_to_page(m, 0x2001)]) {
    const is_private = folio_is_device_private(m, page);
    t.equal(m.device_private.page_number(page), 0x2001);
    const mpfn = migrate_pfn_from_page(m, page);
    t.equal(mpfn, 0x2001 * 64 + MPFN_VALID + (is_private ? MPFN_DEVICE_PRIVATE : 0));
    t.equal(migrate_pfn_to_page(m, mpfn), page);

    const flags =
      HMM_PFN_VALID | HMM_PFN_WRITE | (9 << HMM_PFN_ORDER_SHIFT) | (is_private ? m.device_private.hmm_flag : 0);
    const entry = hmm_pfn(m.device_private.page_number(page), flags);
    t.equal(hmm_pfn_to_page(m, entry), page);
    t.equal(hmm_pfn_to_map_order(entry), 9);

    for (const make of [
      make_readable_migration_entry_from_page,
      make_readable_exclusive_migration_entry_from_page,
      make_writable_migration_entry_from_page,
    ]) {
      const leaf = make_migration_entry_dirty(make_migration_entry_young(make(m, page, 0)));
      t.ok(softleaf_is_migration(leaf));
      t.equal(softleaf_is_migration_device_private(leaf), is_private);
      t.equal(softleaf_is_migration_write(leaf), make === make_writable_migration_entry_from_page);
      t.equal(softleaf_is_migration_read(leaf), make === make_readable_migration_entry_from_page);
      t.equal(softleaf_is_migration_read_exclusive(leaf), make === make_readable_exclusive_migration_entry_from_page);
      t.equal(softleaf_to_page(m, leaf), page);
      const downgraded = make_readable_migration_entry_from_page(
        m,
        softleaf_to_page(m, leaf),
        softleaf_to_flags(m, leaf),
      );
      t.ok(softleaf_is_migration_young(m, downgraded) && softleaf_is_migration_dirty(m, downgraded));
      t.equal(softleaf_to_page(m, downgraded), page);
    }
  }
  t.end();
});

t.test('the 64 bits of an hmm_pfn: with the series the order begins at bit 52, and bit 57 says private', (t) => {
  const m = machine();
  const flags = HMM_PFN_VALID | (9 << HMM_PFN_ORDER_SHIFT);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0x200, flags | m.device_private.hmm_flag), m.device_private), 0x8290000000000200n);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0x200, flags), m.device_private), 0x8090000000000200n);
  const linux = boot({ mem: 128 * MiB });
  t.equal(linux.device_private.hmm_flag, 0);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0x200, flags), linux.device_private), 0x8120000000000200n);

  const rfc = machine('offsets-rfc-order-shift');
  const entry = hmm_pfn(0x200, flags | rfc.device_private.hmm_flag);
  t.equal(
    hmm_pfn_to_u64(entry, rfc.device_private),
    0x8320000000000200n,
    'of the RFC: bit 57 is one of the order, too',
  );
  t.equal(hmm_pfn_to_map_order(entry), 25);
  t.end();
});

t.test('three swap types go to the migration entries of private pages', (t) => {
  const m = machine();
  const page = mapped(m, 16).pages;
  const ram = pfn_to_page(m, 0x2000);
  const types = [
    make_readable_migration_entry_from_page(m, ram, 0),
    make_readable_exclusive_migration_entry_from_page(m, ram, 0),
    make_writable_migration_entry_from_page(m, ram, 0),
    make_writable_device_private_entry_from_page(m, page),
    make_readable_device_private_entry_from_page(m, page),
    make_device_exclusive_entry(0x2000),
    make_readable_migration_entry_from_page(m, page, 0),
    make_readable_exclusive_migration_entry_from_page(m, page, 0),
    make_writable_migration_entry_from_page(m, page, 0),
  ].map((leaf) => swp_type(leaf, m.device_private.max_swapfiles));
  t.same(types, [0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e]);
  t.equal(m.device_private.max_swapfiles, 21);
  t.equal(boot({ mem: 128 * MiB }).device_private.max_swapfiles, 24);
  t.end();
});

t.test('migrate_device_range() goes over small and large folios by mpfns, and the flag stays', (t) => {
  const m = machine();
  const pgmap = mapped(m, 2048);
  for (const [at, order] of [
    [3, 0],
    [512, 9],
    [1030, 0],
  ] as const) {
    zone_device_folio_init(m, pgmap.pages + at, pgmap, order);
    folio_unlock(m, pgmap.pages + at);
  }
  const src = new Float64Array(2048);
  t.equal(at_once(migrate_device_range(m, src, MPFN_VALID + MPFN_DEVICE_PRIVATE, 2048)), 0);
  const found = [...src.entries()].filter(([, mpfn]) => mpfn !== 0);
  const [common, MIGRATE, COMPOUND] = [MPFN_VALID + MPFN_DEVICE_PRIVATE, 2, 16];
  t.same(found, [
    [3, 3 * 64 + common + MIGRATE],
    [512, 512 * 64 + common + MIGRATE + COMPOUND],
    [1030, 1030 * 64 + common + MIGRATE],
  ]);
  for (const [at, mpfn] of found) t.equal(migrate_pfn_to_page(m, mpfn), pgmap.pages + at);
  t.end();
});

/** True if a walk for the pages from `page` on stops at an entry of the page table that covers them. */
function stops_at(m: Machine, page: number, flags: number, entry: number, level: 'pte' | 'pmd'): boolean {
  const [pgd, pud, pmdt, pt] = [4, 3, 2, 1].map((n) => new ptdesc(n, 0)) as [ptdesc, ptdesc, ptdesc, ptdesc];
  (pgd.child as ptdesc[])[0] = pud;
  (pud.child as ptdesc[])[0] = pmdt;
  if (level === 'pmd') {
    pmdt.entry[0] = entry;
  } else {
    (pmdt.child as ptdesc[])[0] = pt;
    pmdt.entry[0] = PMD_TABLE;
    pt.entry[0] = entry;
  }
  const vma = {
    vm_start: 0,
    vm_end: 2 * MiB,
    vm_flags: 0,
    vm_anon_pgoff: 0,
    vm_pgoff: 0,
    vm_mm: { pgd },
  } as unknown as vm_area_struct;
  const pvmw = {
    ...DEFINE_FOLIO_VMA_WALK(m, page, vma, 0, flags),
    nr_pages: level === 'pmd' ? 512 : 1,
    pgoff: 0,
    pgoff_is_anon: true,
  };
  const found = at_once(page_vma_mapped_walk(m, pvmw));
  if (found) page_vma_mapped_walk_done(m, pvmw);
  return found;
}

for (const level of ['pte', 'pmd'] as const) {
  t.test(`a walk takes no pfn for an offset, and no offset for a pfn, in any kind of ${level}`, (t) => {
    const m = machine();
    const page = mapped(m, 65536).pages + 0x2000;
    const ram = pfn_to_page(m, 0x2000);
    t.equal(m.device_private.page_number(page), page_to_pfn(m, ram));
    const present: number[] =
      level === 'pmd' ? [pfn_pte(0x2000, HUGE_PMD)] : [pfn_pte(0x2000, 7), make_device_exclusive_entry(0x2000)];
    const offset = [
      make_readable_device_private_entry_from_page(m, page),
      make_writable_device_private_entry_from_page(m, page),
    ];
    for (const [entries, mine, other] of [
      [present, ram, page],
      [offset, page, ram],
    ] as const) {
      for (const entry of entries) {
        t.ok(stops_at(m, mine, 0, entry, level));
        t.notOk(stops_at(m, other, 0, entry, level), 'the page of the same number');
        t.notOk(stops_at(m, mine, PVMW_MIGRATION, entry, level));
      }
    }
    for (const make of [
      make_readable_migration_entry_from_page,
      make_readable_exclusive_migration_entry_from_page,
      make_writable_migration_entry_from_page,
    ]) {
      for (const [mine, other] of [
        [page, ram],
        [ram, page],
      ] as const) {
        t.ok(stops_at(m, mine, PVMW_MIGRATION, make(m, mine, 0), level));
        t.notOk(stops_at(m, mine, PVMW_MIGRATION, make(m, other, 0), level), 'the page of the same number');
        t.notOk(stops_at(m, mine, 0, make(m, mine, 0), level));
      }
    }
    t.end();
  });
}
