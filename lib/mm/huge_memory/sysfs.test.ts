// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { folio_mk_pmd } from '../../arch/x86/mm/pgtable/pmd.ts';
import { Machine, type MachineConfig } from '../../machine.ts';
import { type anon_vma, mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_ref_count, page_to_pfn } from '../page.ts';
import { shmem_enabled_show } from '../shmem.ts';
import {
  anon_enabled_show,
  anon_enabled_store,
  count_mthp_stat,
  count_vm_event,
  defrag_show,
  defrag_store,
  enabled_show,
  enabled_store,
  highest_order,
  is_huge_zero_pmd,
  mm_get_huge_zero_folio,
  mm_put_huge_zero_folio,
  mod_mthp_stat,
  next_order,
  pmd_is_huge,
  single_hugepage_flag_show,
  single_hugepage_flag_store,
  thp_vma_allowable_order,
  thp_vma_allowable_orders,
  thp_vma_suitable_order,
  thp_vma_suitable_orders,
  vma_thp_gfp_mask,
} from './sysfs.ts';

const EINVAL = 22;
const [PAGE, HUGE, BASE] = [4096, 2 * 1024 * 1024, 0x200000000];
const [READ_WRITE, HUGEPAGE, NOHUGEPAGE, SEQ_READ, RAND_READ, GROWSDOWN, DONTEXPAND] = [
  3,
  1 << 29,
  1 << 30,
  1 << 15,
  1 << 16,
  1 << 8,
  1 << 18,
];
const [SMAPS, PAGEFAULT, KHUGEPAGED, FORCED] = [0, 1, 2, 3];
const [SIZES, PMD] = [0x3fc, 9];

function machine(config: MachineConfig = {}): Machine {
  const m = new Machine({ mem: 1024 * 1024 * 1024, ...config });
  m.zone.add_span(0x10000, 0x10400);
  m.ram.set_linear(0x10000, 0x400, true);
  return m;
}

function anon(m: Machine, start: number, end: number): vm_area_struct {
  const vma = new vm_area_struct(new mm_struct(m, 1, new ptdesc(4, 1)), start, end);
  vma.vm_flags = READ_WRITE;
  return vma;
}

t.test(
  'the settings read with the active one in brackets, and take one of their words with or without a line end',
  (t) => {
    const m = machine({ thp: 'madvise' });
    t.equal(enabled_show(m), 'always [madvise] never\n');
    t.equal(enabled_store(m, 'never\n'), 0);
    t.equal(enabled_show(m), 'always madvise [never]\n');
    t.equal(enabled_store(m, 'always'), 0);
    for (const bad of ['', 'alway', 'always ', 'always\n\n', '1']) t.equal(enabled_store(m, bad), -EINVAL);
    t.equal(enabled_show(m), '[always] madvise never\n');
    t.equal(defrag_show(m), 'always defer defer+madvise [madvise] never\n');
    t.equal(defrag_store(m, 'defer+madvise\n'), 0);
    t.equal(defrag_show(m), 'always defer [defer+madvise] madvise never\n');
    t.equal(defrag_store(m, 'never'), 0);
    t.equal(defrag_store(m, 'defer+'), -EINVAL);
    t.equal(defrag_show(m), 'always defer defer+madvise madvise [never]\n');
    t.equal(anon_enabled_show(m, PMD), 'always [inherit] madvise never\n');
    t.equal(anon_enabled_show(m, 4), 'always inherit madvise [never]\n');
    t.equal(anon_enabled_store(m, 4, 'madvise\n'), 0);
    t.equal(anon_enabled_store(m, 4, 'defer'), -EINVAL);
    t.equal(anon_enabled_show(m, 4), 'always inherit [madvise] never\n');
    t.equal(anon_enabled_show(m, 5), 'always inherit madvise [never]\n');
    t.equal(shmem_enabled_show(m), 'always within_size advise [never] deny force\n');
    t.equal(single_hugepage_flag_show(m, 8), '1\n');
    t.same(
      ['0\n', '2', '-1', 'x', ''].map((s) => single_hugepage_flag_store(m, s, 8)),
      [0, -EINVAL, -EINVAL, -EINVAL, -EINVAL],
    );
    t.equal(single_hugepage_flag_show(m, 8), '0\n');
    t.end();
  },
);

t.test('a machine of less than 512 MiB starts with every flag off', (t) => {
  const m = machine({ mem: 508 * 1024 * 1024, thp: 'never' });
  t.equal(defrag_show(m), 'always defer defer+madvise madvise [never]\n');
  t.equal(single_hugepage_flag_show(m, 8), '0\n');
  t.equal(machine({ mem: 512 * 1024 * 1024, thp: 'never' }).thp.transparent_hugepage_flags, 0x1c0);
  t.end();
});

t.test('which orders a vma may have: settings, advice and who asks', (t) => {
  const m = machine({ thp: 'madvise' });
  const vma = anon(m, BASE, BASE + 2 * HUGE);
  const allowed = (flags: number, type = PAGEFAULT): number =>
    thp_vma_allowable_orders(m, vma, READ_WRITE | flags, type, 0x7ff);
  t.equal(allowed(0), 0);
  t.equal(allowed(HUGEPAGE), 1 << PMD, 'order 9 inherits the global setting');
  t.equal(allowed(HUGEPAGE | NOHUGEPAGE), 0);
  anon_enabled_store(m, 4, 'always');
  anon_enabled_store(m, 5, 'madvise');
  t.equal(allowed(0), 1 << 4);
  t.equal(allowed(HUGEPAGE), (1 << 4) | (1 << 5) | (1 << PMD));
  enabled_store(m, 'never');
  t.equal(allowed(HUGEPAGE), (1 << 4) | (1 << 5), 'the others do not ask the global setting');
  t.equal(allowed(0, FORCED), 0, 'nobody has faulted there yet');
  vma.anon_vma = {} as anon_vma;
  t.equal(allowed(0, FORCED), SIZES, 'MADV_COLLAPSE asks no setting');
  t.equal(allowed(DONTEXPAND, FORCED), 0);
  t.equal(allowed(NOHUGEPAGE, FORCED), 0);
  vma.vm_mm.flags |= 16;
  t.equal(allowed(HUGEPAGE), 0, 'prctl() turned them off');
  t.end();
});

t.test('only a fault may ask before there is room; khugepaged and smaps want an aligned block in the vma', (t) => {
  const m = machine({ thp: 'always' });
  const vma = anon(m, BASE + PAGE, BASE + HUGE + HUGE / 2);
  vma.anon_vma = {} as anon_vma;
  const may = (type: number, v = vma): boolean => thp_vma_allowable_order(m, v, v.vm_flags, type, PMD);
  t.same(
    [SMAPS, PAGEFAULT, KHUGEPAGED, FORCED].map((type) => may(type)),
    [false, true, false, false],
  );
  vma.vm_end = BASE + 2 * HUGE;
  t.same(
    [SMAPS, PAGEFAULT, KHUGEPAGED, FORCED].map((type) => may(type)),
    [true, true, true, true],
  );
  vma.anon_vma = null;
  t.same(
    [SMAPS, PAGEFAULT, KHUGEPAGED, FORCED].map((type) => may(type)),
    [true, true, false, false],
  );
  vma.vm_flags |= GROWSDOWN | SEQ_READ | RAND_READ;
  t.notOk(may(PAGEFAULT), 'the stack that execve() is about to move');
  vma.vm_flags &= ~RAND_READ;
  t.ok(may(PAGEFAULT));
  t.end();
});

t.test('an order suits where its whole aligned block lies in the vma and, in a file, at an aligned offset', (t) => {
  const m = machine();
  const vma = anon(m, BASE + HUGE / 2, BASE + 2 * HUGE);
  t.same(
    [BASE + HUGE - PAGE, BASE + HUGE, BASE + 2 * HUGE - 1, BASE + 2 * HUGE].map((a) =>
      thp_vma_suitable_order(vma, a, PMD),
    ),
    [false, true, true, false],
  );
  t.equal(thp_vma_suitable_orders(vma, BASE + HUGE / 2, (1 << 9) | (1 << 8) | (1 << 2)), (1 << 8) | (1 << 2));
  t.equal(thp_vma_suitable_orders(vma, BASE, 1 << 9), 0);
  vma.vm_ops = {};
  vma.vm_pgoff = 256;
  t.ok(thp_vma_suitable_order(vma, BASE + HUGE, PMD));
  vma.vm_pgoff = 240;
  t.same(
    [9, 5, 4].map((order) => thp_vma_suitable_order(vma, BASE + HUGE, order)),
    [false, false, true],
  );
  t.same([highest_order(0), highest_order(1), highest_order(0x3fc), next_order(0x3fc, 9)], [-1, 0, 9, 0x1fc]);
  t.end();
});

t.test('how hard an allocation tries depends on defrag and advice', (t) => {
  const m = machine();
  const vma = anon(m, BASE, BASE + HUGE);
  const light = 0x1c20ca;
  const masks = ['always', 'defer', 'defer+madvise', 'madvise', 'never'].map((mode) => {
    defrag_store(m, mode);
    return [0, HUGEPAGE].map((advice) => {
      vma.vm_flags = READ_WRITE | advice;
      return vma_thp_gfp_mask(m, vma) - light;
    });
  });
  t.same(masks, [
    [0x10400, 0x400],
    [0x800, 0x800],
    [0x800, 0x400],
    [0, 0x400],
    [0, 0],
  ]);
  t.end();
});

t.test('the huge zero folio is made once, held once by each mm, and goes when only the shrinker holds it', (t) => {
  const m = machine();
  const [a, b] = [anon(m, BASE, BASE + HUGE).vm_mm, anon(m, BASE, BASE + HUGE).vm_mm];
  m.zone.fail_page_alloc = () => true;
  t.equal(mm_get_huge_zero_folio(m, a), 0);
  m.zone.fail_page_alloc = null;
  const folio = mm_get_huge_zero_folio(m, a);
  t.equal(mm_get_huge_zero_folio(m, a), folio);
  t.equal(mm_get_huge_zero_folio(m, b), folio);
  t.equal(m.thp.huge_zero_refcount, 3);
  t.same(
    [...m.thp.vm_events],
    [
      ['THP_ZERO_PAGE_ALLOC_FAILED', 1],
      ['THP_ZERO_PAGE_ALLOC', 1],
    ],
  );
  const pmd = folio_mk_pmd(m, folio, 1);
  t.ok(is_huge_zero_pmd(m, pmd));
  t.equal(pmd_is_huge(pmd), true);
  t.equal(m.thp.shrink_huge_zero_folio_scan(), 0);
  mm_put_huge_zero_folio(m, a);
  mm_put_huge_zero_folio(m, b);
  t.equal(folio_ref_count(m, folio), 1);
  t.equal(page_to_pfn(m, folio), m.thp.huge_zero_pfn);
  t.equal(m.thp.shrink_huge_zero_folio_scan(), 512);
  t.equal(m.zone.nr_free, 0x400);
  t.notOk(is_huge_zero_pmd(m, pmd));
  t.equal(m.thp.shrink_huge_zero_folio_scan(), 0);
  t.end();
});

t.test('events and counters by order', (t) => {
  const m = machine();
  count_vm_event(m, 'THP_FAULT_ALLOC');
  count_vm_event(m, 'THP_FAULT_ALLOC');
  t.equal(m.thp.vm_events.get('THP_FAULT_ALLOC'), 2);
  count_mthp_stat(m, 9, 17);
  mod_mthp_stat(m, 9, 17, 3);
  for (const order of [0, 10]) count_mthp_stat(m, order, 17);
  t.equal(m.thp.mthp_stats[9 * 22 + 17], 4);
  t.equal(
    m.thp.mthp_stats.reduce((sum, n) => sum + n, 0),
    4,
    'no other order counts',
  );
  t.end();
});
