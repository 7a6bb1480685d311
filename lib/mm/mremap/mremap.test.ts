// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, signal_of, small_machine } from '../../kernel/testing.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { load_words } from '../testing.ts';
import { sys_mremap } from './mremap.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const TO = 0x240000000;
const TASK_SIZE = 0x7ffffffff000;
const [READ, RW] = [1, 3];
const [SHARED, PRIVATE, FIXED, ANON, LOCKED, HUGETLB] = [1, 2, 0x10, 0x20, 0x2000, 0x40000];
const [MAYMOVE, FIX, DONTUNMAP] = [1, 2, 4];
const [ENOMEM, EFAULT, EINVAL] = [-12, -14, -22];
const VM_LOCKED = 0x2000;
const SIGSEGV = 11;

function run(body: (m: Machine) => Gen<void>): Machine {
  const m = run_clean(t, small_machine({ nr_hugepages: 2 }), body);
  t.equal(m.vm_committed_as, 0);
  return m;
}

/** The vmas within a GiB of `from`: first page and number of pages. */
function vmas(m: Machine, from: number): number[][] {
  return (m.current.mm as mm_struct).mm_mt
    .filter((v) => v.vm_start >= from && v.vm_end <= from + 512 * HUGE)
    .map((v) => [(v.vm_start - from) / PAGE, (v.vm_end - v.vm_start) / PAGE]);
}

/** Maps pages at MAP + page, each holding its number plus 1. */
function* fill(m: Machine, page: number, pages: number, prot = RW, flags = PRIVATE): Gen<void> {
  yield* sys_mmap(m, MAP + page * PAGE, pages * PAGE, prot, flags | ANON | FIXED, -1, 0);
  if (prot === RW) for (let n = page; n < page + pages; n++) yield* user_store32(m, MAP + n * PAGE, n + 1);
}

t.test('arguments that move nothing', (t) => {
  run(function* (m) {
    yield* fill(m, 0, 4);
    const remap = (old: number, oldlen: number, len: number, flags: number, to = 0): Gen<number> =>
      sys_mremap(m, old, oldlen, len, flags, to);
    t.equal(yield* remap(MAP, PAGE, PAGE, 8), EINVAL);
    t.equal(yield* remap(MAP + 1, PAGE, PAGE, 0), EINVAL);
    t.equal(yield* remap(MAP, PAGE, 0, 0), EINVAL);
    t.equal(yield* remap(MAP, PAGE, TASK_SIZE + PAGE, MAYMOVE), EINVAL);
    t.equal(yield* remap(MAP, PAGE, PAGE, FIX, TO), EINVAL, 'a fixed address without MREMAP_MAYMOVE');
    t.equal(yield* remap(MAP, PAGE, PAGE, FIX | MAYMOVE, TO + 1), EINVAL);
    t.equal(yield* remap(MAP, 2 * PAGE, 2 * PAGE, FIX | MAYMOVE, MAP + PAGE), EINVAL, 'onto itself');
    t.equal(yield* remap(MAP, PAGE, PAGE, FIX | MAYMOVE, TASK_SIZE), EINVAL);
    t.equal(yield* remap(MAP, PAGE, 2 * PAGE, DONTUNMAP | MAYMOVE), EINVAL);
    t.equal(yield* remap(TO, PAGE, PAGE, 0), EFAULT);
    t.equal(yield* remap(MAP, 5 * PAGE, 6 * PAGE, MAYMOVE), EFAULT, 'beyond the mapping');
    t.equal(yield* remap(MAP, 0, PAGE, MAYMOVE), EINVAL, 'private memory has no second mapping');
    t.equal(yield* remap(MAP, PAGE, 2 * PAGE, 0), ENOMEM, 'no room in the middle of a mapping');
    t.equal(yield* remap(MAP, 4 * PAGE, 16384 * PAGE, MAYMOVE), ENOMEM);
    t.equal(yield* remap(MAP, 4 * PAGE, 4 * PAGE, 0), MAP);
    yield* sys_mmap(m, TO, HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
    t.equal(yield* remap(TO, HUGE, 2 * HUGE, MAYMOVE), EINVAL, 'hugetlb does not grow');
    t.same(yield* load_words(m, MAP, 4), [1, 2, 3, 4]);
  });
  t.end();
});

t.test('lengths and ends wrap at 2^64', (t) => {
  run(function* (m) {
    yield* fill(m, 0, 2);
    yield* fill(m, 8, 2, RW, SHARED);
    const most = 2 ** 64 - 2048;
    t.equal(
      yield* sys_mremap(m, MAP, most, PAGE, MAYMOVE, 0),
      EINVAL,
      'as of length 0: private memory has no second mapping',
    );
    const twin = yield* sys_mremap(m, MAP + 8 * PAGE, most, 2 * PAGE, MAYMOVE, 0);
    t.same(yield* load_words(m, twin, 2), [9, 10], 'and shared memory has');
    t.equal(yield* sys_mremap(m, MAP, PAGE, most, MAYMOVE, 0), EINVAL);
    t.equal(yield* sys_mremap(m, MAP, 2 ** 64 - PAGE, PAGE, 0, 0), EINVAL, 'what is too long to unmap');
    t.equal(
      yield* sys_mremap(m, MAP + 3 * PAGE, 2 ** 64 - PAGE, PAGE, MAYMOVE | FIX, MAP + 2 * PAGE),
      EFAULT,
      'it ends where the destination begins',
    );
    yield* sys_mmap(m, TO, HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
    yield* sys_mmap(m, TO + 4 * HUGE, PAGE, READ, PRIVATE | ANON | FIXED, -1, 0);
    t.equal(
      yield* sys_mremap(m, TO, 2 ** 64 - PAGE, HUGE, MAYMOVE | FIX, TO + 4 * HUGE),
      EINVAL,
      'hugetlb rounds that to 0 and does not grow',
    );
    t.equal(yield* user_load32(m, TO + 4 * HUGE), 0, 'found before the destination was unmapped');
    t.same(yield* load_words(m, MAP, 2), [1, 2]);
  });
  t.end();
});

t.test('a mapping grows in place where it can, elsewhere if it may move, and shrinks', (t) => {
  run(function* (m) {
    const mm = m.current.mm as mm_struct;
    const [total, charged] = [mm.total_vm, m.vm_committed_as];
    yield* fill(m, 0, 2);
    t.equal(yield* sys_mremap(m, MAP, 2 * PAGE, 4 * PAGE, 0, 0), MAP);
    t.same(yield* load_words(m, MAP, 4), [1, 2, 0, 0]);
    t.same([mm.total_vm - total, m.vm_committed_as - charged], [4, 4]);
    yield* sys_mmap(m, MAP + 4 * PAGE, PAGE, READ, PRIVATE | ANON | FIXED, -1, 0);
    t.equal(yield* sys_mremap(m, MAP, 4 * PAGE, 5 * PAGE, 0, 0), ENOMEM);
    const at = yield* sys_mremap(m, MAP, 4 * PAGE, 6 * PAGE, MAYMOVE, 0);
    t.ok(at > TO);
    t.same(yield* load_words(m, at, 6), [1, 2, 0, 0, 0, 0]);
    t.same(vmas(m, MAP), [[4, 1]]);
    t.same([mm.total_vm - total, m.vm_committed_as - charged], [7, 6]);
    t.equal(yield* sys_mremap(m, at, 6 * PAGE, PAGE, 0, 0), at);
    t.same([mm.total_vm - total, m.vm_committed_as - charged], [2, 1]);
    t.equal(yield* signal_of(user_load32(m, at + PAGE)), SIGSEGV);
    t.equal(yield* user_load32(m, at), 1);
  });
  t.end();
});

t.test('the middle of a mapping moves onto another one, page table entries and all', (t) => {
  run(function* (m) {
    const mm = m.current.mm as mm_struct;
    yield* fill(m, 0, 5);
    yield* sys_mmap(m, TO, 4 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, TO + 2 * PAGE, 99);
    const [rss, charged] = [mm.rss_stat[1], m.vm_committed_as];
    const entry = walk_address(mm, MAP + 2 * PAGE).entry;
    t.equal(yield* sys_mremap(m, MAP + PAGE, 3 * PAGE, 2 * PAGE, MAYMOVE | FIX, TO + PAGE), TO + PAGE);
    t.same(vmas(m, MAP), [
      [0, 1],
      [4, 1],
    ]);
    t.same(vmas(m, TO), [
      [0, 1],
      [1, 2],
      [3, 1],
    ]);
    t.equal(Math.floor(walk_address(mm, TO + 2 * PAGE).entry / 2 ** 20), Math.floor(entry / 2 ** 20), 'the same page');
    t.same(yield* load_words(m, TO, 4), [0, 2, 3, 0]);
    t.equal(yield* signal_of(user_load32(m, MAP + PAGE)), SIGSEGV);
    t.same([mm.rss_stat[1], m.vm_committed_as], [rss - 2, charged - 3], 'one page was cut off, one overwritten');
    t.equal(yield* sys_mremap(m, TO + PAGE, 2 * PAGE, 2 * PAGE, MAYMOVE | FIX, MAP + PAGE), MAP + PAGE);
    t.same(
      vmas(m, MAP),
      [
        [0, 3],
        [4, 1],
      ],
      'back in its place it is one mapping again',
    );
  });
  t.end();
});

t.test('MREMAP_DONTUNMAP leaves the source empty, and a shared mapping can be mapped twice', (t) => {
  run(function* (m) {
    yield* fill(m, 0, 2);
    const charged = m.vm_committed_as;
    t.equal(yield* sys_mremap(m, MAP, 2 * PAGE, 2 * PAGE, MAYMOVE | FIX | DONTUNMAP, TO), TO);
    t.same(yield* load_words(m, TO, 2), [1, 2]);
    t.same(yield* load_words(m, MAP, 2), [0, 0]);
    t.equal(m.vm_committed_as, charged + 2);
    t.equal(
      (m.current.mm as mm_struct).mm_mt.find((v) => v.vm_start === MAP)?.anon_vma,
      null,
      'as if it were never faulted',
    );
    yield* fill(m, 8, 2, RW, SHARED);
    const twin = yield* sys_mremap(m, MAP + 8 * PAGE, 0, 2 * PAGE, MAYMOVE, 0);
    t.same(yield* load_words(m, twin, 2), [9, 10]);
    yield* user_store32(m, twin, 77);
    t.equal(yield* user_load32(m, MAP + 8 * PAGE), 77);
  });
  t.end();
});

t.test('MREMAP_DONTUNMAP of locked memory unlocks just what moved away', (t) => {
  run(function* (m) {
    const mm = m.current.mm as mm_struct;
    const all = (): vm_area_struct[] => mm.mm_mt.filter((v) => v.vm_start >= MAP && v.vm_start < TO + HUGE);
    yield* fill(m, 0, 4, READ, PRIVATE | LOCKED);
    t.equal(mm.locked_vm, 4);
    t.equal(yield* sys_mremap(m, MAP + PAGE, 2 * PAGE, 2 * PAGE, MAYMOVE | FIX | DONTUNMAP, TO), TO);
    t.same(
      [vmas(m, MAP), vmas(m, TO)],
      [
        [
          [0, 1],
          [1, 2],
          [3, 1],
        ],
        [[0, 2]],
      ],
    );
    t.same(
      all().map((v) => v.vm_flags & VM_LOCKED),
      [VM_LOCKED, 0, VM_LOCKED, VM_LOCKED],
    );
  });
  t.end();
});

t.test('several mappings move at once with the gaps between them', (t) => {
  run(function* (m) {
    yield* fill(m, 0, 1);
    yield* fill(m, 2, 1);
    yield* fill(m, 3, 1, READ);
    t.equal(yield* sys_mremap(m, MAP, 6 * PAGE, 6 * PAGE, MAYMOVE | FIX, TO), TO);
    t.same(vmas(m, MAP), []);
    t.same(vmas(m, TO), [
      [0, 1],
      [2, 1],
      [3, 1],
    ]);
    t.equal(yield* user_load32(m, TO + 2 * PAGE), 3);
    t.equal(
      yield* sys_mremap(m, TO - PAGE, 3 * PAGE, 3 * PAGE, MAYMOVE | FIX, MAP),
      EFAULT,
      'the first page must be mapped',
    );
    t.equal(yield* sys_mremap(m, TO, 3 * PAGE, 4 * PAGE, MAYMOVE | FIX, MAP), EFAULT, 'of one size only');
  });
  t.end();
});
