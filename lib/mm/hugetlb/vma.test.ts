// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { type ptdesc, pte_dirty, pte_pfn, pte_write } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import { start_process } from '../../kernel/exec.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { UserSignal } from '../../kernel/signal.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { pin_user_pages_fast } from '../gup/gup.ts';
import { unpin_user_pages } from '../gup/pin.ts';
import type { mm_struct } from '../mm_types.ts';
import { vma_of } from '../testing.ts';
import type { hstate } from './pool.ts';
import {
  adjust_range_if_pmd_sharing_possible,
  huge_pte_index,
  huge_pte_lockptr,
  huge_pte_offset,
  hugetlb_change_protection,
  hugetlb_mask_last_page,
  hugetlb_zap_begin,
  hugetlb_zap_end,
  make_huge_pte,
  unmap_hugepage_range,
} from './vma.ts';

const HUGE = 2 * 1024 * 1024;
const GIB = 1024 * 1024 * 1024;
const MAP = 0x200000000;
const [R, RW] = [1, 3];
const [SHARED, PRIVATE, NORESERVE] = [1, 2, 0x4000];
const FIXED_ANON_HUGETLB = 0x40030;
const NR_munmap = 11;
const SIGBUS = 7;
const [PSE, READABLE] = [1 << 5, 0b1101];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): Machine {
  const m = run_clean(t, small_machine({ nr_hugepages: 4 }), body);
  t.same(pool(m), [4, 0]);
  return m;
}

const pool = (m: Machine): number[] => [
  m.hugetlb.default_hstate.free_huge_pages,
  m.hugetlb.default_hstate.resv_huge_pages,
];
const entry = (mm: mm_struct, addr: number): number => walk_address(mm, addr).entry;

function map(m: Machine, n: number, flags = PRIVATE, prot = RW): Gen<number> {
  return sys_mmap(m, MAP, n * HUGE, prot, flags | FIXED_ANON_HUGETLB, -1, 0);
}

t.test('entries of 2 MiB stand in the table of 1 GiB, those of 1 GiB one level up', async (t) => {
  run(function* (m, mm) {
    const [h2m, h1g] = m.hugetlb.hstates as [hstate, hstate];
    const addr = MAP + GIB + 5 * HUGE;
    t.same([huge_pte_index(h2m, addr), huge_pte_index(h1g, addr)], [5, 9]);
    t.same([hugetlb_mask_last_page(h2m), hugetlb_mask_last_page(h1g)], [GIB - HUGE, 511 * GIB]);
    yield* map(m, 1);
    t.equal(huge_pte_offset(m, mm, MAP, HUGE), null);
    yield* user_store32(m, MAP, 1);
    const pmdt = huge_pte_offset(m, mm, MAP, HUGE) as ptdesc;
    t.equal(pmdt.level, 2);
    t.equal((huge_pte_offset(m, mm, MAP, GIB) as ptdesc).level, 3);
    t.equal(huge_pte_lockptr(h2m, mm, pmdt), pmdt.ptl);
    t.equal(huge_pte_lockptr(h1g, mm, pmdt), mm.page_table_lock);
    const vma = vma_of(mm, MAP);
    const folio = m.page.pfn_to_page(pte_pfn(entry(mm, MAP)));
    const [ro, rw] = [make_huge_pte(m, vma, folio, false), make_huge_pte(m, vma, folio, true)];
    t.same([ro & PSE, ro & READABLE, pte_write(ro), pte_dirty(ro)], [PSE, READABLE, false, false]);
    t.same([pte_write(rw), pte_dirty(rw)], [true, true]);
    vma.vm_flags &= ~2;
    t.equal(make_huge_pte(m, vma, folio, true), ro);
    vma.vm_flags |= 2;
  });
});

t.test('unmapping gives the page back and its reservation to a private owner; of one folio only that', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 3);
    for (let i = 0; i < 3; i++) yield* user_store32(m, MAP + i * HUGE, i);
    t.same([...pool(m), mm.hugetlb_usage], [1, 0, 1536]);
    const vma = vma_of(mm, MAP);
    yield* unmap_hugepage_range(m, vma, MAP, MAP + HUGE, 0, 0);
    t.same([...pool(m), mm.hugetlb_usage, entry(mm, MAP)], [2, 1, 1024, 0]);
    const folio = m.page.pfn_to_page(pte_pfn(entry(mm, MAP + HUGE)));
    yield* unmap_hugepage_range(m, vma, MAP + HUGE, MAP + 3 * HUGE, folio, 0);
    t.equal(entry(mm, MAP + HUGE), 0);
    t.equal(yield* user_load32(m, MAP + 2 * HUGE), 2);
    let sig = 0;
    try {
      yield* user_load32(m, MAP + HUGE);
    } catch (e) {
      if (e instanceof UserSignal) sig = e.sig;
    }
    t.equal(sig, SIGBUS, 'a mapping that lost a page so is not served again');
  });
});

t.test('protection changes per present huge page and keeps it a huge one', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 3);
    for (const i of [0, 2]) yield* user_store32(m, MAP + i * HUGE, i);
    const vma = vma_of(mm, MAP);
    const flags = entry(mm, MAP) & 0b1101;
    t.equal(yield* hugetlb_change_protection(m, vma, MAP, MAP + 3 * HUGE, flags, 0), 1024);
    t.notOk(pte_write(entry(mm, MAP)) || pte_write(entry(mm, MAP + 2 * HUGE)));
    t.same([entry(mm, MAP) & PSE, entry(mm, MAP + HUGE)], [PSE, 0]);
    yield* user_store32(m, MAP, 5);
    t.ok(pte_write(entry(mm, MAP)), 'the next write takes the page over');
  });
});

t.test('fork shares a page read-only, but copies one that is pinned', async (t) => {
  run(function* (m, mm) {
    yield* map(m, 2);
    for (const i of [0, 1]) yield* user_store32(m, MAP + i * HUGE, 7 + i);
    const pages = new Int32Array(1);
    t.equal(yield* pin_user_pages_fast(m, MAP + HUGE, 1, 1, pages), 1);
    const parent = [entry(mm, MAP), entry(mm, MAP + HUGE)];
    const pid = yield* kernel_clone(m, 0, function* () {
      const child = m.current.mm as mm_struct;
      t.equal(entry(child, MAP), entry(mm, MAP));
      t.notOk(pte_write(entry(mm, MAP)));
      t.not(pte_pfn(entry(child, MAP + HUGE)), pte_pfn(parent[1]));
      t.equal(yield* user_load32(m, MAP + HUGE), 8);
      t.equal(child.hugetlb_usage, 1024);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal(entry(mm, MAP + HUGE), parent[1], 'the parent keeps what the device sees, and may write');
    unpin_user_pages(m, pages, 1);
  });
});

t.test(
  'shared mappings of whole GiB: ranges widen, and page tables that would be shared are not modelled',
  async (t) => {
    const m = run(function* (m, mm) {
      const whole = { start: MAP + 4 * HUGE, end: MAP + 5 * HUGE };
      yield* map(m, 2 * 512, SHARED | NORESERVE, R);
      const vma = vma_of(mm, MAP);
      adjust_range_if_pmd_sharing_possible(m, vma, whole);
      t.same(whole, { start: MAP, end: MAP + GIB });
      yield* hugetlb_zap_begin(m, vma, { start: MAP, end: MAP + HUGE });
      t.ok(vma.vm_file?.f_mapping?.i_mmap_rwsem.writer);
      hugetlb_zap_end(m, vma, 0);
      t.notOk(vma.vm_file?.f_mapping?.i_mmap_rwsem.writer);
      t.ok(vma.vm_private_data, 'its lock stays');
      yield* do_syscall_64(m, NR_munmap, MAP, 2 * GIB);
      yield* map(m, 512, PRIVATE | NORESERVE);
      const own = { start: MAP + 4 * HUGE, end: MAP + 5 * HUGE };
      adjust_range_if_pmd_sharing_possible(m, vma_of(mm, MAP), own);
      t.same(own, { start: MAP + 4 * HUGE, end: MAP + 5 * HUGE });
    });
    start_process(m, 'sharer', function* () {
      yield* map(m, 512, SHARED | NORESERVE);
      yield* user_store32(m, MAP, 1);
      const pid = yield* kernel_clone(m, 0, function* () {
        yield* user_load32(m, MAP);
      });
      yield* kernel_wait4(m, pid, 0);
    });
    t.throws(() => m.sched.run(() => m.sched.tasks.length === 0), Unmodelled);
  },
);
