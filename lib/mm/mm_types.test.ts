// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { mm_alloc } from '../kernel/fork/mm_init.ts';
import {
  add_mm_counter,
  is_cow_mapping,
  is_vm_hugetlb_page,
  linear_page_index,
  mm_counter,
  mm_counter_file,
  type mm_struct,
  vm_area_struct,
  vm_fault,
  vma_is_anonymous,
  vma_pages,
} from './mm_types.ts';
import { bare_machine } from './testing.ts';
import t from 'tap';

const [VM_WRITE, VM_SHARED, VM_MAYWRITE, VM_MAYSHARE, VM_HUGETLB] = [2, 8, 0x20, 0x80, 0x400000];
const [FILEPAGES, ANONPAGES, SHMEMPAGES] = [0, 1, 3];
const BASE = 0x200000000;

function vma_of(m: Machine, pages: number, pgoff: number): vm_area_struct {
  const vma = new vm_area_struct(mm_alloc(m) as mm_struct, BASE, BASE + pages * 4096);
  vma.vm_pgoff = pgoff;
  return vma;
}

t.test('an address of a vma has its index in the file behind it', (t) => {
  const vma = vma_of(bare_machine(), 8, 100);
  t.equal(vma_pages(vma), 8);
  t.equal(linear_page_index(vma, BASE), 100);
  t.equal(linear_page_index(vma, BASE + 3 * 4096 + 4095), 103);
  const vmf = new vm_fault(vma, BASE + 5 * 4096 + 17, 0);
  t.equal(vmf.address, BASE + 5 * 4096, 'a fault is about a page');
  t.equal(vmf.real_address, BASE + 5 * 4096 + 17);
  t.equal(vmf.pgoff, 105);
  t.end();
});

t.test('private memory that may become writable is copied on write, shared memory never is', (t) => {
  t.ok(is_cow_mapping(VM_MAYWRITE));
  t.ok(is_cow_mapping(VM_MAYWRITE | VM_WRITE));
  t.notOk(is_cow_mapping(VM_WRITE), 'VM_MAYWRITE decides');
  t.notOk(is_cow_mapping(VM_SHARED | VM_MAYWRITE));
  t.notOk(is_cow_mapping(VM_MAYSHARE), 'a shared mapping of a file opened for reading');
  t.end();
});

t.test('a vma is anonymous without operations and hugetlb by its flag', (t) => {
  const vma = vma_of(bare_machine(), 1, 0);
  t.ok(vma_is_anonymous(vma));
  vma.vm_ops = {};
  t.notOk(vma_is_anonymous(vma));
  t.notOk(is_vm_hugetlb_page(vma));
  vma.vm_flags = VM_HUGETLB;
  t.ok(is_vm_hugetlb_page(vma));
  t.end();
});

t.test('a folio counts as anonymous by its mapping, as shmem or file by swapbacked', (t) => {
  const m = bare_machine();
  const [folio, swapbacked] = [5, 1 << 6];
  m.page.flags[folio] = 0;
  m.page.mapping[folio] = 4;
  t.equal(mm_counter(m, folio), FILEPAGES);
  m.page.flags[folio] = swapbacked;
  t.equal(mm_counter(m, folio), SHMEMPAGES);
  t.equal(mm_counter_file(m, folio), SHMEMPAGES);
  m.page.mapping[folio] = 4 | 1;
  t.equal(mm_counter(m, folio), ANONPAGES);
  const mm = mm_alloc(m) as mm_struct;
  add_mm_counter(mm, ANONPAGES, 5);
  add_mm_counter(mm, ANONPAGES, -2);
  t.same([...mm.rss_stat], [0, 3, 0, 0]);
  t.end();
});
