// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { ptdesc } from '../arch/x86/mm/pgtable/pgtable.ts';
import { hardware_walk, tlb_lookup } from '../arch/x86/mm/tlb.ts';
import type { Machine } from '../machine.ts';
import { mm_alloc } from '../kernel/fork/mm_init.ts';
import { Oops } from '../kernel/printk.ts';
import { small_machine } from '../kernel/testing.ts';
import type { mm_struct, vm_area_struct } from './mm_types.ts';
import {
  __tlb_remove_folio_pages,
  mmu_gather,
  pte_free_tlb,
  tlb_delay_rmap,
  tlb_finish_mmu,
  tlb_flush_mmu_tlbonly,
  tlb_flush_rmaps,
  tlb_free_vmas,
  tlb_gather_mmu,
  tlb_gather_mmu_fullmm,
  tlb_gather_mmu_vma,
  tlb_remove_huge_tlb_entry,
  tlb_remove_page,
  tlb_remove_tlb_entries,
  tlb_remove_tlb_entry,
} from './mmu_gather.ts';
import { page_to_pfn } from './page.ts';
import { alloc_page, folio_alloc } from './page_alloc.ts';
import { folio_add_file_rmap_ptes, folio_mapcount } from './rmap/rmap.ts';
import { make_table } from './testing.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const ADDR = 0x200000000;
const VPN = ADDR / PAGE;
const PRESENT_RW_USER = 7;
const VM_PFNMAP = 0x400;

interface Setup {
  m: Machine;
  mm: mm_struct;
  vma: vm_area_struct;
  pt: ptdesc;
  tlb: mmu_gather;
}

function build(): Setup {
  const m = small_machine();
  const mm = mm_alloc(m) as mm_struct;
  return { m, mm, ...make_table(m, mm, ADDR), tlb: new mmu_gather() };
}

/** Maps a new page and lets the CPU cache the translation. */
function touch({ m, mm, pt }: Setup, i: number): number {
  const page = alloc_page(m, 0);
  pt.entry[i] = page_to_pfn(m, page) * 2 ** 20 + PRESENT_RW_USER;
  hardware_walk(m, mm, VPN + i, true);
  return page;
}

t.test('pages are freed after the flush that takes their translations, which is one for all', (t) => {
  const s = build();
  const { m, mm, pt, tlb } = s;
  const pages = [touch(s, 3), touch(s, 7)];
  const other = touch(s, 9);
  tlb_gather_mmu(m, tlb, mm);
  t.equal(mm.tlb_flush_pending, 1);
  for (const [k, i] of [3, 7].entries()) {
    pt.entry[i] = 0;
    tlb_remove_tlb_entry(tlb, ADDR + i * PAGE);
    tlb_remove_page(m, tlb, pages[k]);
  }
  t.same([tlb.start, tlb.end], [ADDR + 3 * PAGE, ADDR + 8 * PAGE]);
  t.ok(tlb_lookup(m, mm, VPN + 3, true) >= 0, 'still cached');
  t.same(
    pages.map((p) => m.page._refcount[p]),
    [1, 1],
  );
  const before = m.tlb_flushes;
  tlb_finish_mmu(m, tlb);
  t.equal(m.tlb_flushes, before + 1);
  t.equal(tlb_lookup(m, mm, VPN + 3, false), -1);
  t.equal(tlb_lookup(m, mm, VPN + 7, false), -1);
  t.ok(tlb_lookup(m, mm, VPN + 9, true) >= 0, 'outside the range');
  t.same(
    [...pages, other].map((p) => m.page._refcount[p]),
    [0, 0, 1],
  );
  t.equal(mm.tlb_flush_pending, 0);
  t.end();
});

t.test('a flush covers huge entries from one end to the other, and without any cleared entry does not happen', (t) => {
  const s = build();
  const { m, mm, tlb } = s;
  tlb_gather_mmu(m, tlb, mm);
  tlb_flush_mmu_tlbonly(m, tlb);
  t.equal(m.tlb_flushes, 0);
  tlb_remove_huge_tlb_entry(tlb, HUGE, ADDR);
  t.same([tlb.cleared_ptes, tlb.cleared_pmds, tlb.start, tlb.end], [false, true, ADDR, ADDR + HUGE]);
  tlb_remove_tlb_entries(tlb, 4, ADDR + HUGE);
  t.same([tlb.cleared_ptes, tlb.end], [true, ADDR + HUGE + 4 * PAGE]);
  tlb_flush_mmu_tlbonly(m, tlb);
  t.equal(m.tlb_flushes, 1);
  t.same(
    [tlb.cleared_ptes, tlb.cleared_pmds, tlb.start, tlb.end],
    [false, false, 0x7ffffffff000, 0],
    'the range starts anew',
  );
  t.throws(() => tlb_remove_page(m, tlb, alloc_page(m, 0)), Oops, 'a page without a range');
  tlb_finish_mmu(m, tlb);

  const flushed = m.tlb_flushes;
  s.vma.vm_flags = VM_PFNMAP;
  tlb_gather_mmu_vma(m, tlb, s.vma);
  tlb_remove_tlb_entry(tlb, ADDR);
  tlb_free_vmas(m, tlb);
  t.equal(m.tlb_flushes, flushed + 1, 'a pfn mapping is flushed before its vma goes');
  tlb_finish_mmu(m, tlb);
  t.equal(m.tlb_flushes, flushed + 1);
  s.vma.vm_flags = 0;
  tlb_gather_mmu_vma(m, tlb, s.vma);
  tlb_remove_tlb_entry(tlb, ADDR);
  tlb_free_vmas(m, tlb);
  t.equal(m.tlb_flushes, flushed + 1, 'the next gather knows nothing of it');
  tlb_finish_mmu(m, tlb);
  t.equal(m.tlb_flushes, flushed + 2);
  t.end();
});

t.test('an unmap that ran beside another one flushes the whole address space', (t) => {
  const s = build();
  const { m, mm, tlb } = s;
  touch(s, 5);
  const other = new mmu_gather();
  tlb_gather_mmu(m, tlb, mm);
  tlb_gather_mmu(m, other, mm);
  tlb_finish_mmu(m, other);
  t.equal(tlb_lookup(m, mm, VPN + 5, false), -1, 'nothing was in its range, but the other may have cleared this');
  const flushed = m.tlb_flushes;
  tlb_finish_mmu(m, tlb);
  t.equal(m.tlb_flushes, flushed, 'the last one is alone');
  t.end();
});

t.test('rmaps put off stay until the flush, and hold only one batch beyond the first', (t) => {
  const { m, mm, vma, tlb } = build();
  const folio = folio_alloc(m, 0, 2);
  const mapped = m.page._refcount[folio];
  folio_add_file_rmap_ptes(m, folio, folio, 4, vma);
  m.page._refcount[folio] += 3;
  tlb_gather_mmu(m, tlb, mm);
  tlb_remove_tlb_entries(tlb, 4, ADDR);
  t.ok(tlb_delay_rmap(tlb));
  t.notOk(__tlb_remove_folio_pages(m, tlb, folio, 4, true));
  t.equal(folio_mapcount(m, folio), 4);
  tlb_flush_rmaps(m, tlb, vma);
  t.equal(folio_mapcount(m, folio), 0);
  t.notOk(tlb.delayed_rmap);
  t.equal(m.page._refcount[folio], mapped + 3);
  // The first batch has 8 places, of which the run took two; a place stays free for the second half of a run.
  tlb_delay_rmap(tlb);
  let n = 1;
  while (!__tlb_remove_folio_pages(m, tlb, alloc_page(m, 0), 1, false)) n++;
  t.equal(n, 5 + 509);
  tlb_finish_mmu(m, tlb);
  t.equal(m.page._refcount[folio], 0);
  t.end();
});

t.test('page tables outlive the flush too', (t) => {
  const s = build();
  const { m, mm, pt, tlb } = s;
  const free = m.zone.nr_free;
  const bytes = mm.pgtables_bytes;
  tlb_gather_mmu_fullmm(m, tlb, mm);
  pte_free_tlb(m, tlb, pt, ADDR);
  t.ok(tlb.freed_tables);
  t.equal(m.zone.nr_free, free);
  tlb_finish_mmu(m, tlb);
  t.equal(m.zone.nr_free, free + 1);
  t.equal(mm.pgtables_bytes, bytes, 'whoever clears the pmd counts it down');
  t.end();
});
