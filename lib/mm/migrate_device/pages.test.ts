// SPDX-License-Identifier: GPL-2.0-only

import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { pfn_pte, pte_mkdirty, pte_mkwrite, pte_pfn, pte_present } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { mm_alloc } from '../../kernel/fork/mm_init.ts';
import { at_once } from '../../kernel/testing.ts';
import { folio_lock, folio_trylock } from '../filemap/folio_lock.ts';
import { folio_add_lru } from '../folio.ts';
import { swp_type } from '../leafops.ts';
import { dev_pagemap, memremap_pages, zone_device_folio_init } from '../memremap.ts';
import { type mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_read_lock } from '../mmap_lock.ts';
import { page_to_pfn, pfn_to_page } from '../page.ts';
import { alloc_page } from '../page_alloc.ts';
import { anon_vma_prepare } from '../rmap/anon_vma.ts';
import { folio_add_new_anon_rmap, folio_mapcount } from '../rmap/rmap.ts';
import { bare_machine, make_pte, noting_ops } from '../testing.ts';
import { migrate_pfn, migrate_vma } from './migrate_vma.ts';
import {
  migrate_device_coherent_folio,
  migrate_device_finalize,
  migrate_device_pages,
  migrate_device_range,
  migrate_vma_finalize,
  migrate_vma_pages,
  migrate_vma_setup,
} from './pages.ts';
import t from 'tap';

// Upstream's numbers, declared again.
const VM_READ = 1;
const VM_WRITE = 2;
const VM_MAYALL = 0x70;
const VALID = 1;
const MIGRATE = 2;
const WRITE = 8;
const SELECT_SYSTEM = 1;
const SELECT_DEVICE_PRIVATE = 2;
const SELECT_DEVICE_COHERENT = 4;
const SPM = 0x140000000;
const CHUNK = 256 * 1024 * 1024;
const BASE = 0x200000000;

class Fixture {
  readonly m = bare_machine({ mem: 6 * 1024 ** 3, reserved: [{ start: SPM, size: 2 * CHUNK }] });
  readonly mm: mm_struct;
  readonly vma: vm_area_struct;
  readonly pgmap = new dev_pagemap();
  readonly freed: number[] = [];
  private next: number;

  constructor(type: number, pages: number) {
    const m = this.m;
    m.zero_page = alloc_page(m, 0x100);
    this.mm = mm_alloc(m) as mm_struct;
    at_once(mmap_read_lock(m, this.mm));
    this.vma = new vm_area_struct(this.mm, BASE, BASE + pages * 4096);
    this.vma.vm_flags = VM_READ | VM_WRITE | VM_MAYALL;
    this.vma.vm_page_prot = vm_get_page_prot(this.vma.vm_flags);
    this.vma.vm_pgoff = this.vma.vm_anon_pgoff = BASE / 4096;
    this.mm.mm_mt.push(this.vma);
    at_once(anon_vma_prepare(m, this.vma));
    const start = type === 1 ? 2 ** 40 - CHUNK : SPM;
    this.pgmap.type = type;
    this.pgmap.owner = this;
    this.pgmap.nr_range = 1;
    this.pgmap.range.start = start;
    this.pgmap.range.end = start + CHUNK - 1;
    this.pgmap.ops = noting_ops(this.freed);
    at_once(memremap_pages(m, this.pgmap, 0));
    this.next = start / 4096;
  }
  /** Maps a new page at page n and stores v in it. */
  fill(n: number, v: number): number {
    const { m, vma } = this;
    const addr = BASE + n * 4096;
    const page = alloc_page(m, 0x100);
    m.ram.bytes(page_to_pfn(m, page))[0] = v;
    const { pt, i } = make_pte(this.m, this.mm, addr);
    folio_add_new_anon_rmap(m, page, vma, addr, 1);
    folio_add_lru(m, page);
    pt.entry[i] = pte_mkwrite(pte_mkdirty(pfn_pte(page_to_pfn(m, page), vma.vm_page_prot)));
    this.mm.rss_stat[1] = this.mm.rss_stat[1] + 1;
    return page;
  }
  pte(n: number): number {
    const { pt, i } = make_pte(this.m, this.mm, BASE + n * 4096);
    return pt.entry[i];
  }
  device_page(): number {
    const page = pfn_to_page(this.m, this.next++);
    zone_device_folio_init(this.m, page, this.pgmap, 0);
    return page;
  }
  args(n: number, flags: number): migrate_vma {
    const a = new migrate_vma();
    a.vma = this.vma;
    a.start = BASE;
    a.end = BASE + n * 4096;
    a.src = new Float64Array(n);
    a.dst = new Float64Array(n);
    a.flags = flags;
    a.pgmap_owner = this;
    return a;
  }
  to_device(n: number): migrate_vma {
    const a = this.args(n, SELECT_SYSTEM);
    if (at_once(migrate_vma_setup(this.m, a)) !== 0) throw new Error('setup');
    for (let i = 0; i < n; i++) {
      if ((a.src as Float64Array)[i] & MIGRATE)
        (a.dst as Float64Array)[i] = migrate_pfn(page_to_pfn(this.m, this.device_page()));
    }
    at_once(migrate_vma_pages(this.m, a));
    at_once(migrate_vma_finalize(this.m, a));
    return a;
  }
}

t.test('pages and holes go to private memory, and the pages come back', async (t) => {
  const f = new Fixture(1, 4);
  const old = f.fill(0, 0x11);
  f.fill(1, 0x22);
  const a = f.to_device(4);
  t.equal(a.cpages, 4);
  t.equal((a.src as Float64Array)[0], page_to_pfn(f.m, old) * 64 + VALID + MIGRATE + WRITE);
  t.equal((a.src as Float64Array)[2], MIGRATE, 'a hole has no page');
  for (let i = 0; i < 4; i++) t.equal(swp_type(f.pte(i)), 0x1c, `page ${i} is a writable device entry`);
  t.equal(f.m.page._refcount[old], 0, 'the system page is free');
  t.equal(f.mm.rss_stat[1], 4);

  const back = f.args(4, SELECT_DEVICE_PRIVATE);
  t.equal(at_once(migrate_vma_setup(f.m, back)), 0);
  t.equal(back.cpages, 4);
  for (let i = 0; i < 4; i++) {
    const page = alloc_page(f.m, 0x100);
    folio_trylock(f.m, page);
    (back.dst as Float64Array)[i] = migrate_pfn(page_to_pfn(f.m, page));
  }
  at_once(migrate_vma_pages(f.m, back));
  at_once(migrate_vma_finalize(f.m, back));
  t.equal(f.freed.length, 4);
  t.equal(f.pgmap.ref, 1);
  for (let i = 0; i < 4; i++) t.ok(pte_present(f.pte(i)));
  t.equal(folio_mapcount(f.m, pfn_to_page(f.m, pte_pfn(f.pte(0)))), 1);
  t.same(f.m.log.warnings, []);
});

t.test('a pinned page stays, and its mapping comes back', async (t) => {
  const f = new Fixture(1, 2);
  const page = f.fill(0, 1);
  f.fill(1, 2);
  const before = f.pte(0);
  f.m.page._refcount[page] += 1024;
  const a = f.to_device(2);
  t.equal(a.cpages, 1);
  t.equal((a.src as Float64Array)[0], 0);
  t.equal(f.pte(0), before);
  t.equal(swp_type(f.pte(1)), 0x1c);
});

t.test("a stranger's device pages are not selected", async (t) => {
  const f = new Fixture(1, 1);
  f.fill(0, 1);
  f.to_device(1);
  const a = f.args(1, SELECT_DEVICE_PRIVATE);
  a.pgmap_owner = {};
  t.equal(at_once(migrate_vma_setup(f.m, a)), 0);
  t.equal(a.cpages, 0);
  t.equal(swp_type(f.pte(0)), 0x1c);
});

t.test('migrate_device_range finds pages without their addresses', async (t) => {
  const f = new Fixture(1, 3);
  for (let i = 0; i < 3; i++) f.fill(i, i);
  f.to_device(3);
  const src = new Float64Array(8);
  const dst = new Float64Array(8);
  const first = f.pgmap.range.start / 4096;
  t.equal(at_once(migrate_device_range(f.m, src, first, 8)), 0);
  t.same([...src], [0, 1, 2].map((i) => (first + i) * 64 + VALID + MIGRATE).concat([0, 0, 0, 0, 0]));
  t.equal(swp_type(f.pte(0)), 0x1b, 'a writable migration entry meanwhile');
  for (let i = 0; i < 2; i++) {
    const page = alloc_page(f.m, 0x100);
    at_once(folio_lock(f.m, page));
    dst[i] = migrate_pfn(page_to_pfn(f.m, page));
  }
  at_once(migrate_device_pages(f.m, src, dst, 8));
  at_once(migrate_device_finalize(f.m, src, dst, 8));
  t.ok(pte_present(f.pte(0)));
  t.ok(pte_present(f.pte(1)));
  t.equal(swp_type(f.pte(2)), 0x1c, 'what got no destination stays');
});

t.test('coherent pages are mapped like any other, and move with their contents', async (t) => {
  const f = new Fixture(2, 1);
  const a = f.to_device(1);
  t.equal(a.cpages, 1);
  const page = pfn_to_page(f.m, pte_pfn(f.pte(0)));
  t.ok(pte_present(f.pte(0)));
  f.m.ram.bytes(page_to_pfn(f.m, page))[7] = 0x77;
  const none = f.args(1, SELECT_SYSTEM | SELECT_DEVICE_PRIVATE);
  at_once(migrate_vma_setup(f.m, none));
  t.equal(none.cpages, 0);
  const some = f.args(1, SELECT_DEVICE_COHERENT);
  at_once(migrate_vma_setup(f.m, some));
  t.equal(some.cpages, 1);
  at_once(migrate_vma_pages(f.m, some));
  at_once(migrate_vma_finalize(f.m, some));
  t.equal(pte_pfn(f.pte(0)), page_to_pfn(f.m, page), 'it stays without a destination');

  f.m.page._refcount[page]++;
  t.equal(at_once(migrate_device_coherent_folio(f.m, page)), 0);
  t.same(f.freed, [page]);
  t.not(pte_pfn(f.pte(0)), page_to_pfn(f.m, page));
  t.equal(f.m.ram.bytes(pte_pfn(f.pte(0)))[7], 0x77);
});

t.test('what cannot be a range is refused', async (t) => {
  const f = new Fixture(1, 2);
  const bad = (change: (a: migrate_vma) => void): number => {
    const a = f.args(2, SELECT_SYSTEM);
    change(a);
    return at_once(migrate_vma_setup(f.m, a));
  };
  t.equal(
    bad((a) => {
      a.vma = null;
    }),
    -22,
  );
  t.equal(
    bad((a) => {
      a.end = a.start;
    }),
    -22,
  );
  t.equal(
    bad((a) => {
      a.end += 4096;
    }),
    -22,
  );
  t.equal(
    bad((a) => {
      a.start -= 4096;
    }),
    -22,
  );
  t.equal(
    bad((a) => {
      a.fault_page = f.m.zero_page;
    }),
    -22,
  );
});
