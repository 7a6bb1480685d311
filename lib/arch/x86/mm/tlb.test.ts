// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../../../machine.ts';
import { mm_alloc } from '../../../kernel/fork/mm_init.ts';
import { small_machine } from '../../../kernel/testing.ts';
import type { mm_struct, vm_area_struct } from '../../../mm/mm_types.ts';
import { page_to_pfn } from '../../../mm/page.ts';
import { alloc_page } from '../../../mm/page_alloc.ts';
import { ptep_clear_flush } from '../../../mm/pgtable-generic.ts';
import { make_table } from '../../../mm/testing.ts';
import type { ptdesc } from './pgtable/pgtable.ts';
import {
  flush_tlb_mm,
  flush_tlb_page,
  flush_tlb_range,
  hardware_walk,
  ptep_get_and_clear,
  tlb_entries,
  tlb_lookup,
} from './tlb.ts';

const PAGE = 4096;
const ADDR = 0x200000000;
const PRESENT = 1;
const RW = 2;
const USER = 4;
const ACCESSED = 8;
const DIRTY = 16;

// A machine whose address space maps nothing, and the pte table that covers ADDR.
function build(): { m: Machine; mm: mm_struct; vma: vm_area_struct; pt: ptdesc } {
  const m = small_machine();
  const mm = mm_alloc(m) as mm_struct;
  return { m, mm, ...make_table(m, mm, ADDR) };
}

function entry(m: Machine, flags: number): number {
  return page_to_pfn(m, alloc_page(m, 0)) * 2 ** 20 + flags;
}

t.test('a walk sets the accessed bit for a read, and the dirty bit for a write', (t) => {
  const { m, mm, pt } = build();
  pt.entry[3] = entry(m, PRESENT | RW | USER);
  const vpn = ADDR / PAGE + 3;
  t.ok(hardware_walk(m, mm, vpn, false) >= 0);
  t.equal(pt.entry[3] & (ACCESSED | DIRTY), ACCESSED);
  t.equal(tlb_lookup(m, mm, vpn, true), -1, 'a clean entry gives no right to write');
  t.ok(hardware_walk(m, mm, vpn, true) >= 0);
  t.equal(pt.entry[3] & (ACCESSED | DIRTY), ACCESSED | DIRTY);
  t.ok(tlb_lookup(m, mm, vpn, true) >= 0);
  t.end();
});

t.test('a read-only or absent entry faults and is not cached', (t) => {
  const { m, mm, pt } = build();
  pt.entry[0] = entry(m, PRESENT | USER);
  t.equal(hardware_walk(m, mm, ADDR / PAGE, true), -1);
  t.equal(hardware_walk(m, mm, ADDR / PAGE + 1, false), -1);
  t.equal(hardware_walk(m, mm, 0x7000000000 / PAGE, false), -1);
  t.equal(pt.entry[0] & (ACCESSED | DIRTY), 0);
  t.same(tlb_entries(m, m.cpus[0]), []);
  t.end();
});

t.test('an entry that was taken out without a flush still answers, and a flush ends that', (t) => {
  const { m, mm, vma, pt } = build();
  pt.entry[5] = entry(m, PRESENT | RW | USER);
  const vpn = ADDR / PAGE + 5;
  hardware_walk(m, mm, vpn, true);
  ptep_get_and_clear(m, mm, ADDR + 5 * PAGE, pt, 5);
  t.ok(tlb_lookup(m, mm, vpn, false) >= 0, 'stale');
  t.equal(tlb_entries(m, m.cpus[0] as never).length, 1);
  flush_tlb_page(m, vma, ADDR + 5 * PAGE + 17);
  t.equal(tlb_lookup(m, mm, vpn, false), -1);
  t.equal(tlb_lookup(m, mm, vpn, true), -1);
  t.end();
});

t.test('ptep_clear_flush() drops the translation on every CPU', (t) => {
  const { m, mm, vma, pt } = build();
  pt.entry[0] = entry(m, PRESENT | RW | USER);
  hardware_walk(m, mm, ADDR / PAGE, false);
  m.current.cpu = 1;
  hardware_walk(m, mm, ADDR / PAGE, false);
  ptep_clear_flush(m, vma, ADDR, pt, 0);
  for (const cpu of [0, 1]) {
    m.current.cpu = cpu;
    t.equal(tlb_lookup(m, mm, ADDR / PAGE, false), -1, `CPU ${cpu}`);
  }
  t.end();
});

t.test('a flush leaves what lies outside of its range, unless it spans more than 33 pages', (t) => {
  const { m, mm, vma, pt } = build();
  for (let i = 0; i < 100; i++) {
    pt.entry[i] = entry(m, PRESENT | USER);
    hardware_walk(m, mm, ADDR / PAGE + i, false);
  }
  const live = (): number => tlb_entries(m, m.cpus[0]).length;
  t.equal(live(), 100);
  flush_tlb_range(m, vma, ADDR + 10 * PAGE, ADDR + 20 * PAGE);
  t.equal(live(), 90);
  flush_tlb_range(m, vma, ADDR + 50 * PAGE, ADDR + 83 * PAGE);
  t.equal(live(), 57);
  flush_tlb_range(m, vma, ADDR, ADDR + 34 * PAGE);
  t.equal(live(), 0);
  t.end();
});

t.test('the translations of one address space are none of another', (t) => {
  const { m, mm, pt } = build();
  pt.entry[0] = entry(m, PRESENT | USER);
  hardware_walk(m, mm, ADDR / PAGE, false);
  const other = mm_alloc(m) as mm_struct;
  t.equal(tlb_lookup(m, other, ADDR / PAGE, false), -1);
  flush_tlb_mm(m, other);
  t.ok(tlb_lookup(m, mm, ADDR / PAGE, false) >= 0);
  flush_tlb_mm(m, mm);
  t.equal(tlb_lookup(m, mm, ADDR / PAGE, false), -1);
  t.end();
});

t.test('when the numbers of address spaces run out, no old translation comes back', (t) => {
  const { m, mm, pt } = build();
  pt.entry[0] = entry(m, PRESENT | USER);
  hardware_walk(m, mm, ADDR / PAGE, false);
  m.tlb_next_ctx = 2 ** 18;
  const other = mm_alloc(m) as mm_struct;
  other.pgd = mm.pgd;
  hardware_walk(m, other, ADDR / PAGE + 1, false);
  t.equal(tlb_lookup(m, mm, ADDR / PAGE, false) >= 0, true, 'other has filled nothing, so nothing had to go');
  hardware_walk(m, other, ADDR / PAGE, false);
  t.equal(tlb_lookup(m, mm, ADDR / PAGE, false), -1);
  t.ok(hardware_walk(m, mm, ADDR / PAGE, false) >= 0);
  t.not(mm.tlb_tag, other.tlb_tag);
  t.end();
});
