// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import {
  make_device_exclusive_entry,
  make_guard_swp_entry,
  make_poisoned_swp_entry,
  make_pte_marker_entry,
} from '../leafops.ts';
import { type mm_struct, vm_area_struct, vm_fault } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { folio_test_locked } from '../page-flags.ts';
import { page_to_pfn, pfn_to_page } from '../page.ts';
import { ptep_clear_flush } from '../pgtable-generic.ts';
import { leaf_at } from '../testing.ts';
import { handle_mm_fault, pte_range_none, vm_normal_page, vmf_pte_changed } from './fault.ts';
import t from 'tap';

const PAGE = 4096;
const MAP = 0x200000000;
const [NONE, READ, RW] = [0, 1, 3];
const FIXED_ANON = 0x32;
const [PRESENT, PTE_RW, ACCESSED, DIRTY, SPECIAL, SOFT_DIRTY] = [1, 2, 8, 16, 128, 256];
const [WRITE, UNSHARE] = [1, 1 << 10];
const [SIGBUS, HWPOISON, SIGSEGV] = [2, 0x10, 0x40];
const [VM_MAYWRITE, VM_PFNMAP, MMF_UNSTABLE] = [0x20, 0x400, 8];
const ANONPAGES = 1;
const anon_exclusive = 1 << 7;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): Machine {
  return run_clean(t, small_machine(), body);
}

function vma_of(mm: mm_struct): vm_area_struct {
  return mm.mm_mt.find((v) => v.vm_start === MAP) as vm_area_struct;
}

function* fault(m: Machine, mm: mm_struct, addr: number, flags: number): Gen<number> {
  yield* mmap_read_lock(m, mm);
  const ret = yield* handle_mm_fault(m, vma_of(mm), addr, flags);
  mmap_read_unlock(m, mm);
  return ret;
}

t.test('a read maps the page of zeroes, a write a page of its own', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, FIXED_ANON, -1, 0);
    t.equal(yield* user_load32(m, MAP), 0);
    const zero = leaf_at(mm, MAP).entry;
    t.equal(zero, page_to_pfn(m, m.zero_page) * 2 ** 20 + (zero % 2 ** 20));
    t.equal(zero & (PRESENT | PTE_RW | SPECIAL), PRESENT | SPECIAL);
    t.same([mm.rss_stat[ANONPAGES], vma_of(mm).anon_vma], [0, null]);
    yield* user_store32(m, MAP + PAGE, 5);
    const own = leaf_at(mm, MAP + PAGE).entry;
    t.equal(own & (PRESENT | PTE_RW | ACCESSED | DIRTY | SPECIAL), PRESENT | PTE_RW | ACCESSED | DIRTY);
    const page = vm_normal_page(m, vma_of(mm), MAP + PAGE, own);
    t.equal(m.page.flags[page] & anon_exclusive, anon_exclusive);
    t.same([m.page.mapping[page], m.page.index[page]], [(vma_of(mm).anon_vma?.id ?? 0) * 4 + 1, MAP / PAGE + 1]);
    t.equal(mm.rss_stat[ANONPAGES], 1);
    yield* user_store32(m, MAP, 6);
    t.same([yield* user_load32(m, MAP), yield* user_load32(m, MAP + 4)], [6, 0]);
    t.equal(mm.rss_stat[ANONPAGES], 2);
  });
  t.end();
});

t.test('which entries have a page', (t) => {
  const m = small_machine();
  const vma = new vm_area_struct({} as mm_struct, MAP, MAP + PAGE);
  const pte = 0x300 * 2 ** 20 + PRESENT;
  t.equal(vm_normal_page(m, vma, MAP, pte), pfn_to_page(m, 0x300));
  t.equal(vm_normal_page(m, vma, MAP, page_to_pfn(m, m.zero_page) * 2 ** 20 + SPECIAL + PRESENT), 0);
  vma.vm_flags = VM_PFNMAP;
  t.equal(vm_normal_page(m, vma, MAP, pte + SPECIAL), 0);
  t.notOk(m.log.taint.has('B'));
  vma.vm_flags = 0;
  t.equal(vm_normal_page(m, vma, MAP, pte + SPECIAL), 0);
  t.ok(m.log.taint.has('B'), 'a special entry where none may be');
  t.end();
});

t.test('a fault that raced is told by the entry it saw', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 8 * PAGE, RW, FIXED_ANON, -1, 0);
    yield* user_store32(m, MAP + 3 * PAGE, 1);
    const { table, index } = leaf_at(mm, MAP + 3 * PAGE);
    t.same([pte_range_none(table, index - 3, 3), pte_range_none(table, index - 3, 4)], [true, false]);
    const vmf = new vm_fault(vma_of(mm), MAP + 3 * PAGE, WRITE);
    vmf.pte = table;
    t.ok(vmf_pte_changed(vmf), 'it saw no entry at all');
    vmf.flags |= 1 << 11;
    vmf.orig_pte = table.entry[index];
    t.notOk(vmf_pte_changed(vmf));
    vmf.orig_pte += DIRTY;
    t.ok(vmf_pte_changed(vmf));
  });
  t.end();
});

t.test('faults that cannot be right', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 4 * PAGE, READ, FIXED_ANON, -1, 0);
    t.equal(yield* fault(m, mm, MAP, 0), 0);
    const { table, index } = leaf_at(mm, MAP);
    table.entry[index + 1] = make_guard_swp_entry();
    table.entry[index + 2] = make_poisoned_swp_entry();
    table.entry[index + 3] = make_pte_marker_entry(1);
    t.equal(yield* fault(m, mm, MAP + PAGE, 0), SIGSEGV);
    t.equal(yield* fault(m, mm, MAP + 2 * PAGE, 0), HWPOISON);
    t.equal(yield* fault(m, mm, MAP + 3 * PAGE, 0), 0);
    t.equal(table.entry[index + 3], 0, 'a marker without its userfaultfd is dropped');
    t.equal(yield* fault(m, mm, MAP, WRITE | UNSHARE), SIGSEGV);
    vma_of(mm).vm_flags &= ~VM_MAYWRITE;
    t.equal(yield* fault(m, mm, MAP, WRITE), SIGSEGV);
    mm.flags |= MMF_UNSTABLE;
    t.equal(yield* fault(m, mm, MAP + 3 * PAGE, 0), SIGBUS, 'the address space is being torn down');
    t.equal(m.log.warnings.splice(0).length, 2);
    yield* sys_mmap(m, MAP, 4 * PAGE, NONE, FIXED_ANON, -1, 0);
  });
  t.end();
});

t.test('a CPU that touches a device exclusive page gets it back as it was, but old', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, FIXED_ANON, -1, 0);
    yield* user_store32(m, MAP, 5);
    const { table, index, entry } = leaf_at(mm, MAP);
    ptep_clear_flush(m, vma_of(mm), MAP, table, index);
    const pfn = Math.floor(entry / 2 ** 20);
    table.entry[index] = make_device_exclusive_entry(pfn) + (entry & SOFT_DIRTY);
    t.equal(yield* fault(m, mm, MAP, 0), 0);
    t.equal(table.entry[index], entry - (entry & (ACCESSED | DIRTY)));
    t.equal(yield* user_load32(m, MAP), 5);
    const page = pfn_to_page(m, pfn);
    t.same([folio_test_locked(m, page), m.page._mapcount[page]], [false, 0]);
  });
  t.end();
});
