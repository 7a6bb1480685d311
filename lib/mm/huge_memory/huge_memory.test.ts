// SPDX-License-Identifier: GPL-2.0-only
// The life of a huge page across the files of this folder; what each function answers alone is tested beside its file.

import { pgd_alloc } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import type { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { Machine, type MachineConfig } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { task_struct } from '../../kernel/sched/core.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import { madvise_collapse } from '../khugepaged/khugepaged.ts';
import { handle_mm_fault } from '../memory/fault.ts';
import { dev_pagemap, memremap_pages, zone_device_folio_init } from '../memremap.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { mmu_gather, tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { mmu_notifier_subscriptions_init } from '../mmu_notifier.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { folio_order, folio_ref_count, large } from '../page.ts';
import { alloc_page } from '../page_alloc.ts';
import { anon_vma_fork } from '../rmap/anon_vma.ts';
import { folio_mapcount, mm_find_pmd } from '../rmap/rmap.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { noting_ops, replace_folio } from '../testing.ts';
import { mm_alloc_pmd } from '../userfaultfd/mfill.ts';
import { copy_huge_pmd } from './copy.ts';
import { move_huge_pmd } from './move.ts';
import { vma_adjust_trans_huge } from './pmd_lock.ts';
import { folio_split, split_folio } from './split_folio.ts';
import { __split_huge_pmd } from './split_pmd.ts';
import { is_huge_zero_pmd, thp_vma_allowable_order } from './sysfs.ts';
import { zap_huge_pmd } from './zap.ts';
import t from 'tap';

// The model's own layout of an entry: the pfn from bit 20 on, the marks below it. Declared once more here, as all that
// the tests compare with, so that a wrong one in the model shows.
const [PRESENT, WRITABLE, USER, ACCESSED, DIRTY, PSE, SPECIAL, NX] = [1, 2, 4, 8, 16, 32, 128, 1024];
const [SOFTWARE, TABLE] = [1 << 11, 1 << 18];
const [MIGRATION_WRITE, DEVICE_PRIVATE_READ, DEVICE_PRIVATE_WRITE] = [4, 8, 9];
/** readable; a fault decides whether it is writable */
const PROT = PRESENT | USER | ACCESSED | NX;
const [VM_READ, VM_WRITE, VM_MAYREAD, VM_MAYWRITE, VM_HUGEPAGE, VM_NOHUGEPAGE] = [1, 2, 0x10, 0x20, 2 ** 29, 2 ** 30];
const [FAULT_FLAG_WRITE, MM_ANONPAGES, TVA_PAGEFAULT, MEMORY_DEVICE_PRIVATE] = [1, 1, 1, 1];

const marks = (entry: number): number => entry % 2 ** 20;
const pfn_of = (entry: number): number => Math.floor(entry / 2 ** 20);
const is = (entry: number, mark: number): boolean => (marks(entry) & mark) === mark;
const pmd_index = (addr: number): number => Math.floor(addr / HUGE) % 512;
/** the kind of a software entry */
const kind_of = (entry: number): number => (is(entry, SOFTWARE) ? (marks(entry) >> 13) & 31 : 0);
const is_huge = (pmd: number): boolean => is(pmd, PRESENT | PSE);
const is_writable = (pmd: number): boolean => is(pmd, WRITABLE);

/** A machine with memory, a zero page and one task. */
class ThpMachine {
  readonly m: Machine;
  private ids = 1;
  constructor(config: MachineConfig = {}) {
    this.m = new Machine({ mem: 1024 * 1024 * 1024, ...config });
    this.m.zone.add_span(0x10000, 0x30000);
    this.m.ram.set_linear(0x10000, 0x20000, true);
    this.m.zero_page = alloc_page(this.m, 0x100);
  }

  /** Runs kernel code to its end as a task of the mm. */
  run<T>(mm: mm_struct, fn: () => Gen<T>): T {
    const t = new task_struct(1, 'test');
    t.mm = mm;
    const box: { done: boolean; value?: T } = { done: false };
    this.m.sched.start(
      t,
      (function* (): Gen<void> {
        box.value = yield* fn();
        box.done = true;
      })(),
    );
    this.m.sched.run(() => box.done);
    return box.value as T;
  }

  mm(): mm_struct {
    const pgd = pgd_alloc(this.m);
    if (pgd === null) throw new Error('no memory for a page table');
    const mm = new mm_struct(this.m, this.ids++, pgd);
    mmu_notifier_subscriptions_init(mm);
    return mm;
  }

  vma(mm: mm_struct, start: number, end: number, vm_flags = 0): vm_area_struct {
    const vma = new vm_area_struct(mm, start, end);
    vma.vm_flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | vm_flags;
    vma.vm_page_prot = PROT;
    vma.vm_pgoff = start / 4096;
    vma.vm_anon_pgoff = start / 4096;
    mm.mm_mt.push(vma);
    return vma;
  }

  /** The CPU touches the address; answers VM_FAULT_* of the fault. */
  touch(vma: vm_area_struct, addr: number, write: boolean): number {
    const m = this.m;
    return this.run(vma.vm_mm, function* () {
      yield* mmap_read_lock(m, vma.vm_mm);
      const ret = yield* handle_mm_fault(m, vma, addr, write ? FAULT_FLAG_WRITE : 0);
      mmap_read_unlock(m, vma.vm_mm);
      return ret;
    });
  }

  pmdt(mm: mm_struct, addr: number): ptdesc {
    const t = mm_find_pmd(this.m, mm, addr);
    if (t === null) throw new Error(`no pmd table at ${addr.toString(16)}`);
    return t;
  }

  pmd(mm: mm_struct, addr: number): number {
    return this.pmdt(mm, addr).entry[pmd_index(addr)];
  }
}

const BASE = 0x200000000;
const HUGE = 2 * 1024 * 1024;
const ENTIRELY_MAPPED = 0x800000;

function huge_folio(x: ThpMachine, mm: mm_struct): number {
  const m = x.m;
  x.run(mm, () => lru_add_drain_all(m));
  return m.page.pfn_to_page(pfn_of(x.pmd(mm, BASE)));
}

/** A machine with an address space whose vma of 2 MiB at BASE a huge folio is mapped in. */
function with_huge_folio(): { x: ThpMachine; m: Machine; mm: mm_struct; vma: vm_area_struct; folio: number } {
  const x = new ThpMachine();
  const mm = x.mm();
  const vma = x.vma(mm, BASE, BASE + HUGE);
  x.touch(vma, BASE, true);
  return { x, m: x.m, mm, vma, folio: huge_folio(x, mm) };
}

/** Forks with the pmd at BASE; `ret` is what copy_huge_pmd() returns. */
function fork(x: ThpMachine, vma: vm_area_struct): { child: mm_struct; cvma: vm_area_struct; ret: number } {
  const [m, mm, child] = [x.m, vma.vm_mm, x.mm()];
  const cvma = x.vma(child, BASE, BASE + HUGE);
  x.run(mm, () => anon_vma_fork(m, cvma, vma));
  mm.write_protect_seq++;
  const cpmdt = x.run(mm, () => mm_alloc_pmd(m, child, BASE)) as ptdesc;
  const ret = x.run(mm, () => copy_huge_pmd(m, cpmdt, x.pmdt(mm, BASE), BASE, cvma, vma));
  mm.write_protect_seq++;
  return { child, cvma, ret };
}

function collapse(x: ThpMachine, vma: vm_area_struct, end: number, dropped = { val: false }): number {
  return x.run(vma.vm_mm, function* () {
    yield* mmap_read_lock(x.m, vma.vm_mm);
    const r = yield* madvise_collapse(x.m, vma, BASE, end, dropped);
    mmap_read_unlock(x.m, vma.vm_mm);
    return r;
  });
}

/** Zaps the huge pmd at BASE; answers whether it was one. */
function zap(x: ThpMachine, vma: vm_area_struct): boolean {
  const [m, mm, tlb] = [x.m, vma.vm_mm, new mmu_gather()];
  tlb_gather_mmu(m, tlb, mm);
  const was = x.run(mm, () => zap_huge_pmd(m, tlb, vma, x.pmdt(mm, BASE), pmd_index(BASE), BASE));
  tlb_finish_mmu(m, tlb);
  return was;
}

t.test('a write to untouched memory maps one exclusive huge folio, with a page table deposited', async (t) => {
  const x = new ThpMachine();
  const mm = x.mm();
  const vma = x.vma(mm, BASE, BASE + 2 * HUGE);
  t.equal(x.touch(vma, BASE + 5 * 4096, true), 0);
  const pmd = x.pmd(mm, BASE);
  t.ok(is_huge(pmd) && is_writable(pmd) && is(pmd, DIRTY));
  const folio = huge_folio(x, mm);
  const l = large(x.m, folio);
  t.equal(folio_ref_count(x.m, folio), 1);
  t.same([l._entire_mapcount, l._large_mapcount, l._nr_pages_mapped], [0, 0, ENTIRELY_MAPPED]);
  t.ok(PageAnonExclusive(x.m, folio));
  t.notOk(PageAnonExclusive(x.m, folio + 1));
  t.equal(mm.rss_stat[MM_ANONPAGES], 512);
  t.equal(x.pmdt(mm, BASE).pmd_huge_pte.length, 1);
  t.ok(l.on_deferred_list);
  t.same(x.m.log.warnings, []);
});

t.test('splitting the pmd gives every page its own mapping, reference and exclusiveness', async (t) => {
  const { x, m, mm, vma, folio } = with_huge_folio();
  const pmdt = x.pmdt(mm, BASE);
  const pi = pmd_index(BASE);
  x.run(mm, () => __split_huge_pmd(m, vma, pmdt, pi, BASE + 4096, false));
  t.ok(is(x.pmd(mm, BASE), TABLE));
  t.equal(pmdt.pmd_huge_pte.length, 0);
  t.equal(folio_ref_count(m, folio), 512);
  const l = large(m, folio);
  t.same([l._entire_mapcount, l._large_mapcount, l._nr_pages_mapped], [-1, 511, 512]);
  t.notOk(l.maybe_mapped_shared);
  const pt = pmdt.child?.[pi] as ptdesc;
  for (let i = 0; i < 512; i++) {
    const pte = pt.entry[i];
    if (
      !is(pte, PRESENT) ||
      !is_writable(pte) ||
      pfn_of(pte) !== m.page.page_to_pfn(folio) + i ||
      m.page._mapcount[folio + i] !== 0 ||
      !PageAnonExclusive(m, folio + i)
    )
      t.fail(`page ${i}`);
  }
  t.equal(mm.rss_stat[MM_ANONPAGES], 512);
  t.same(m.log.warnings, []);
});

t.test('splitting the folio maps pages of zeroes to the zero page and frees them', async (t) => {
  const { x, m, mm, folio } = with_huge_folio();
  m.ram.bytes(m.page.page_to_pfn(folio) + 3)[7] = 1;
  const free = m.zone.nr_free;
  m.page._refcount[folio]++;
  x.run(mm, () => folio_lock(m, folio));
  t.equal(
    x.run(mm, () => split_folio(m, folio)),
    0,
  );
  const pt = x.pmdt(mm, BASE).child?.[pmd_index(BASE)] as ptdesc;
  t.ok(is(pt.entry[0], SPECIAL) && is(pt.entry[511], SPECIAL));
  t.equal(pfn_of(pt.entry[3]), m.page.page_to_pfn(folio) + 3);
  t.equal(mm.rss_stat[MM_ANONPAGES], 1);
  t.equal(folio_order(m, folio), 0);
  t.equal(folio_ref_count(m, folio), 1);
  t.equal(folio_ref_count(m, folio + 3), 1);
  t.ok(PageAnonExclusive(m, folio + 3));
  t.equal(m.page._mapcount[folio + 3], 0);
  // the split page table was deposited before; 510 pages of zeroes are back, the head is still the caller's
  t.equal(m.zone.nr_free - free, 510);
  folio_unlock(m, folio);
  t.same(m.log.warnings, []);
});

t.test('a split around one page leaves the rest as large as it can be, but no folios of two pages', async (t) => {
  const { x, m, mm, folio } = with_huge_folio();
  for (let i = 0; i < 512; i++) m.ram.bytes(m.page.page_to_pfn(folio) + i)[0] = 1;
  m.page._refcount[folio]++;
  x.run(mm, () => folio_lock(m, folio));
  t.equal(
    x.run(mm, () => folio_split(m, folio, 0, folio, null)),
    0,
  );
  const orders: number[] = [];
  for (let f = folio; f < folio + 512; f += 1 << folio_order(m, f)) orders.push(folio_order(m, f));
  t.same(orders, [0, 0, 0, 0, 2, 3, 4, 5, 6, 7, 8]);
  t.equal(folio_ref_count(m, folio), 2);
  t.equal(folio_ref_count(m, folio + 256), 256);
  t.equal(mm.rss_stat[MM_ANONPAGES], 512);
  folio_unlock(m, folio);
  t.same(m.log.warnings, []);
});

t.test('a folio with another user is not split and stays mapped by its pmd', async (t) => {
  const { x, m, mm, folio } = with_huge_folio();
  m.page._refcount[folio] += 2;
  x.run(mm, () => folio_lock(m, folio));
  t.equal(
    x.run(mm, () => split_folio(m, folio)),
    -11,
  );
  t.ok(is_huge(x.pmd(mm, BASE)));
  t.equal(folio_ref_count(m, folio), 3);
  t.ok(PageAnonExclusive(m, folio));
});

t.test('a read maps the huge zero folio, the write after it a folio of its own', async (t) => {
  const x = new ThpMachine();
  const mm = x.mm();
  const vma = x.vma(mm, BASE, BASE + 2 * HUGE);
  t.equal(x.touch(vma, BASE, false), 0);
  t.ok(is_huge_zero_pmd(x.m, x.pmd(mm, BASE)));
  t.notOk(is_writable(x.pmd(mm, BASE)));
  t.equal(x.m.thp.huge_zero_refcount, 2);
  t.equal(mm.rss_stat[MM_ANONPAGES], 0);
  t.equal(x.touch(vma, BASE, true), 0);
  t.notOk(is_huge_zero_pmd(x.m, x.pmd(mm, BASE)));
  t.equal(mm.rss_stat[MM_ANONPAGES], 512);
  x.touch(vma, BASE + HUGE, false);
  x.run(mm, () => vma_adjust_trans_huge(x.m, vma, BASE, BASE + HUGE + 4096, null));
  const pt = x.pmdt(mm, BASE).child?.[pmd_index(BASE + HUGE)] as ptdesc;
  t.ok(pt.entry.every((e) => is(e, SPECIAL) && !is_writable(e)));
});

t.test('modes and advice decide whether a fault may use huge pages', async (t) => {
  for (const [thp, flags, allowed] of [
    ['always', 0, true],
    ['always', VM_NOHUGEPAGE, false],
    ['madvise', 0, false],
    ['madvise', VM_HUGEPAGE, true],
    ['never', 0, false],
    ['never', VM_HUGEPAGE, false],
  ] as const) {
    const x = new ThpMachine({ thp });
    const vma = x.vma(x.mm(), BASE, BASE + HUGE, flags);
    t.equal(thp_vma_allowable_order(x.m, vma, vma.vm_flags, TVA_PAGEFAULT, 9), allowed, `${thp} ${flags}`);
    x.touch(vma, BASE, true);
    t.equal(is_huge(x.pmd(vma.vm_mm, BASE)), allowed);
  }
});

t.test('a range that no aligned 2 MiB fit into gets small pages', async (t) => {
  const x = new ThpMachine();
  const vma = x.vma(x.mm(), BASE + 4096, BASE + HUGE);
  x.touch(vma, BASE + 4096, true);
  t.notOk(is_huge(x.pmd(vma.vm_mm, BASE)));
  t.equal(vma.vm_mm.rss_stat[MM_ANONPAGES], 1);
});

t.test('fork shares the folio read-only, and a child that writes splits its own pmd first', async (t) => {
  const { x, m, mm, vma, folio } = with_huge_folio();
  const { child, cvma, ret } = fork(x, vma);
  t.equal(ret, 0);
  t.notOk(is_writable(x.pmd(mm, BASE)) || is_writable(x.pmd(child, BASE)));
  t.equal(folio_ref_count(m, folio), 2);
  t.equal(folio_mapcount(m, folio), 2);
  t.notOk(PageAnonExclusive(m, folio));
  t.ok(large(m, folio).maybe_mapped_shared);

  t.equal(x.touch(cvma, BASE, true), 0);
  t.ok(is(x.pmd(child, BASE), TABLE));
  t.equal(folio_mapcount(m, folio), 512);
  t.ok(zap(x, vma));
  t.equal(folio_ref_count(m, folio), 511);
  t.equal(mm.rss_stat[MM_ANONPAGES], 0);
  t.equal(x.touch(cvma, BASE + 4096, true), 0);
  t.same(m.log.warnings, []);
});

t.test('zapping the only mapping frees the folio and the deposited table', async (t) => {
  const x = new ThpMachine();
  const m = x.m;
  const mm = x.mm();
  const vma = x.vma(mm, BASE, BASE + HUGE);
  x.run(mm, () => mm_alloc_pmd(m, mm, BASE));
  const free = m.zone.nr_free;
  x.touch(vma, BASE, true);
  huge_folio(x, mm);
  zap(x, vma);
  t.equal(m.zone.nr_free, free);
  t.equal(m.thp.deferred_split_lru.size, 0);
});

t.test('moving a huge pmd to another pmd table takes the deposited table along', async (t) => {
  const { x, m, mm, vma } = with_huge_folio();
  const to = BASE + 1024 * HUGE;
  const new_pmdt = x.run(mm, () => mm_alloc_pmd(m, mm, to)) as ptdesc;
  t.ok(x.run(mm, () => move_huge_pmd(m, vma, BASE, to, x.pmdt(mm, BASE), new_pmdt)));
  t.equal(x.pmd(mm, BASE), 0);
  t.ok(is_huge(x.pmd(mm, to)));
  t.equal(new_pmdt.pmd_huge_pte.length, 1);
  t.equal(x.pmdt(mm, BASE).pmd_huge_pte.length, 0);
});

t.test('a migration entry in the pmd and back keeps write permission and exclusiveness', async (t) => {
  const { x, m, mm, folio } = with_huge_folio();
  m.page._refcount[folio]++;
  x.run(mm, () => folio_lock(m, folio));
  x.run(mm, () => try_to_migrate(m, folio, 0));
  t.equal(kind_of(x.pmd(mm, BASE)), MIGRATION_WRITE);
  t.equal(folio_mapcount(m, folio), 0);
  t.equal(folio_ref_count(m, folio), 1);
  t.notOk(PageAnonExclusive(m, folio));
  x.run(mm, () => remove_migration_ptes(m, folio, folio, 0));
  t.ok(is_huge(x.pmd(mm, BASE)) && is_writable(x.pmd(mm, BASE)) && is(x.pmd(mm, BASE), DIRTY));
  t.ok(PageAnonExclusive(m, folio));
  t.equal(folio_ref_count(m, folio), 2);
  t.equal(mm.rss_stat[MM_ANONPAGES], 512);
  folio_unlock(m, folio);
  t.same(m.log.warnings, []);
});

t.test('MADV_COLLAPSE copies small pages into a huge one and keeps their data', async (t) => {
  const x = new ThpMachine({ thp: 'never' });
  const m = x.m;
  const mm = x.mm();
  const vma = x.vma(mm, BASE, BASE + HUGE + 4096);
  x.touch(vma, BASE + 4096, true);
  x.touch(vma, BASE + 9 * 4096, false);
  const pt = x.pmdt(mm, BASE).child?.[pmd_index(BASE)] as ptdesc;
  m.ram.bytes(pfn_of(pt.entry[1]))[5] = 77;
  const dropped = { val: false };
  t.equal(collapse(x, vma, BASE + HUGE, dropped), 0);
  t.ok(dropped.val);
  t.ok(is_huge(x.pmd(mm, BASE)));
  const folio = huge_folio(x, mm);
  t.equal(m.ram.bytes(m.page.page_to_pfn(folio) + 1)[5], 77);
  t.equal(folio_ref_count(m, folio), 1);
  t.equal(mm.rss_stat[MM_ANONPAGES], 512);
  t.equal(collapse(x, vma, BASE + HUGE, dropped), 0, 'what is huge already counts');
  t.equal(collapse(x, vma, BASE + 4096, dropped), 0, 'nothing aligned to do');
  t.same(m.log.warnings, []);
});

t.test('MADV_COLLAPSE answers -EINVAL for nothing mapped and -EAGAIN for a page in use', async (t) => {
  const x = new ThpMachine({ thp: 'never' });
  const m = x.m;
  const mm = x.mm();
  const vma = x.vma(mm, BASE, BASE + HUGE);
  t.equal(collapse(x, vma, BASE + HUGE), -22);
  x.touch(vma, BASE, true);
  const pt = x.pmdt(mm, BASE).child?.[pmd_index(BASE)] as ptdesc;
  const page = m.page.pfn_to_page(pfn_of(pt.entry[0]));
  m.page._refcount[page]++;
  t.equal(collapse(x, vma, BASE + HUGE), -11);
  m.page._refcount[page]--;
  t.equal(collapse(x, vma, BASE + HUGE), 0);
});

// The huge folio at BASE is replaced by one of device memory, as a migration does; answers that folio, with no user but
// the mapping.
function to_device(x: ThpMachine, mm: mm_struct, freed: number[], split: [number, number][]): number {
  const m = x.m;
  const src = huge_folio(x, mm);
  const pgmap = new dev_pagemap();
  pgmap.type = MEMORY_DEVICE_PRIVATE;
  pgmap.owner = x;
  pgmap.nr_range = 1;
  pgmap.range.start = 0x140000000;
  pgmap.range.end = 0x140000000 + 2 * HUGE - 1;
  pgmap.ops = { ...noting_ops(freed), folio_split: (_m, head, tail) => void split.push([head, tail]) };
  x.run(mm, () => memremap_pages(m, pgmap, -1));
  const dst = m.page.pfn_to_page(0x140000);
  zone_device_folio_init(m, dst, pgmap, 9);
  x.run(mm, () => replace_folio(m, src, dst));
  return dst;
}

t.test(
  'a huge pmd of device memory splits into leaves of its pages, each with a mapping and a reference',
  async (t) => {
    const { x, m, mm, vma } = with_huge_folio();
    const folio = to_device(x, mm, [], []);
    t.equal(kind_of(x.pmd(mm, BASE)), DEVICE_PRIVATE_WRITE);
    t.equal(folio_ref_count(m, folio), 1);
    t.equal(folio_mapcount(m, folio), 1);
    t.ok(PageAnonExclusive(m, folio));
    x.run(mm, () => __split_huge_pmd(m, vma, x.pmdt(mm, BASE), pmd_index(BASE), BASE, false));
    const pt = x.pmdt(mm, BASE).child?.[pmd_index(BASE)] as ptdesc;
    const leaf = pt.entry[511];
    t.equal(kind_of(leaf), DEVICE_PRIVATE_WRITE);
    t.equal(pfn_of(leaf), 0x140000 + 511);
    t.equal(folio_ref_count(m, folio), 512);
    t.equal(folio_mapcount(m, folio), 512);
    t.ok(PageAnonExclusive(m, folio + 511));
    t.same(m.log.warnings, []);
  },
);

t.test('fork makes a device pmd read-only on both sides', async (t) => {
  const { x, m, mm, vma } = with_huge_folio();
  const folio = to_device(x, mm, [], []);
  const { child, ret } = fork(x, vma);
  t.equal(ret, 0);
  for (const who of [mm, child]) {
    t.equal(kind_of(x.pmd(who, BASE)), DEVICE_PRIVATE_READ);
  }
  t.equal(folio_ref_count(m, folio), 2);
  t.equal(folio_mapcount(m, folio), 2);
  t.notOk(PageAnonExclusive(m, folio));
  t.equal(child.rss_stat[MM_ANONPAGES], 512);
  t.same(m.log.warnings, []);
});

t.test(
  'splitting a device folio calls its driver for every tail and then for the head, and keeps the mappings',
  async (t) => {
    const { x, m, mm } = with_huge_folio();
    const freed: number[] = [];
    const split: [number, number][] = [];
    const folio = to_device(x, mm, freed, split);
    m.page._refcount[folio]++;
    x.run(mm, () => folio_lock(m, folio));
    t.equal(
      x.run(mm, () => split_folio(m, folio)),
      0,
    );
    t.equal(split.length, 512);
    t.same(split[0], [folio, folio + 1]);
    t.same(split[511], [folio, 0]);
    folio_unlock(m, folio);
    folio_put(m, folio);
    for (const i of [0, 1, 511]) {
      t.equal(folio_order(m, folio + i), 0);
      t.equal(folio_ref_count(m, folio + i), 1);
      t.equal(m.page._mapcount[folio + i], 0);
      t.ok(PageAnonExclusive(m, folio + i));
    }
    t.equal(mm.rss_stat[MM_ANONPAGES], 512);
    t.same(freed, []);
    t.same(m.log.warnings, []);
  },
);

t.test('zapping a device pmd gives the folio back to its driver', async (t) => {
  const { x, m, mm, vma } = with_huge_folio();
  const freed: number[] = [];
  const folio = to_device(x, mm, freed, []);
  zap(x, vma);
  t.same(freed, [folio]);
  t.equal(mm.rss_stat[MM_ANONPAGES], 0);
  t.equal(x.pmdt(mm, BASE).pmd_huge_pte.length, 0);
  t.same(m.log.warnings, []);
});
