// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { lru_add_drain_all } from '../folio.ts';
import type { mm_struct } from '../mm_types.ts';
import { mmu_gather, tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { mm_alloc_pmd } from '../userfaultfd/mfill.ts';
import { free_pgd_range } from './free_pgtables.ts';
import { pte_alloc } from './pgalloc.ts';

const PAGE = 4096;
const MIB2 = 2 * 1024 * 1024;
const GIB = 1024 * 1024 * 1024;
/** 2 MiB beyond the start of a 512 GiB table. */
const MAP = 0x10000000000 + MIB2;
const RW = 3;
const PRIVATE_ANON_FIXED = 0x32;
const NR_munmap = 11;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): Machine {
  return run_clean(t, small_machine(), body);
}

function* touch(m: Machine, addr: number): Gen<void> {
  yield* sys_mmap(m, addr, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
  yield* user_store32(m, addr, 1);
}

t.test('munmap frees the tables that no other mapping can need', async (t) => {
  run(function* (m, mm) {
    yield* do_syscall_64(m, NR_munmap, MAP, PAGE);
    const none = mm.pgtables_bytes;
    for (const [near, kept] of [
      [MAP + 8 * PAGE, 3],
      [MAP - PAGE, 2],
      [MAP + GIB, 1],
      [MAP + 512 * GIB, 0],
    ] as const) {
      yield* touch(m, MAP);
      t.equal(mm.pgtables_bytes - none, 3 * PAGE, 'a table each of 2 MiB, 1 GiB and 512 GiB');
      yield* sys_mmap(m, near, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
      yield* do_syscall_64(m, NR_munmap, MAP, PAGE);
      t.equal(mm.pgtables_bytes - none, kept * PAGE, `a neighbour at ${near.toString(16)}`);
      yield* do_syscall_64(m, NR_munmap, near, PAGE);
      yield* touch(m, MAP);
      yield* do_syscall_64(m, NR_munmap, MAP, PAGE);
      t.equal(mm.pgtables_bytes, none, 'the last one out frees the rest');
    }
  });
});

t.test('one munmap of vmas far apart frees the tables of each, and their pages', async (t) => {
  run(function* (m, mm) {
    yield* touch(m, 0x300000000);
    yield* do_syscall_64(m, NR_munmap, 0x300000000, PAGE);
    yield* lru_add_drain_all(m);
    const [bytes, free] = [mm.pgtables_bytes, m.zone.nr_free];
    for (const addr of [MAP, MAP + MIB2, MAP + 8 * MIB2, MAP + 3 * GIB]) yield* touch(m, addr);
    t.equal(mm.pgtables_bytes - bytes, (4 + 2 + 1) * PAGE);
    t.equal(free - m.zone.nr_free, 4 + 4 + 2 + 1);
    yield* do_syscall_64(m, NR_munmap, MAP, 4 * GIB);
    yield* lru_add_drain_all(m);
    t.same([mm.pgtables_bytes, m.zone.nr_free], [bytes, free]);
  });
});

t.test('tables that reach beyond floor or ceiling stay', async (t) => {
  run(function* (m, mm) {
    const bytes = mm.pgtables_bytes;
    const left = function* (floor: number, ceiling: number): Gen<number> {
      const pmdt = (yield* mm_alloc_pmd(m, mm, MAP)) as ptdesc;
      t.equal(yield* pte_alloc(m, mm, pmdt, 1), 0);
      const tlb = new mmu_gather();
      tlb_gather_mmu(m, tlb, mm);
      free_pgd_range(m, tlb, MAP + PAGE, MAP + 2 * PAGE, floor, ceiling);
      tlb_finish_mmu(m, tlb);
      return (mm.pgtables_bytes - bytes) / PAGE;
    };
    t.equal(yield* left(MAP + PAGE, MAP + GIB), 3, 'a vma ends just before');
    t.equal(yield* left(MAP, MAP + 2 * PAGE), 3, 'one begins just behind');
    t.equal(yield* left(MAP, MAP + MIB2), 2);
    t.equal(yield* left(MAP - MIB2, MAP - MIB2 + GIB), 1);
    t.equal(yield* left(MAP - MIB2 - PAGE, 0), 0, 'a ceiling of 0 is none');
    t.equal(yield* left(0, MAP - MIB2 + 512 * GIB), 0);
    t.equal(yield* left(0, PAGE), 3, 'a ceiling below 2 MiB leaves nothing to do');
    t.equal(yield* left(0, 0), 0);
  });
});

t.test('an entry that is neither empty nor a table is reported and cleared', async (t) => {
  const m = run(function* (m, mm) {
    const pmdt = (yield* mm_alloc_pmd(m, mm, MAP)) as ptdesc;
    pmdt.entry[1] = 7;
    const tlb = new mmu_gather();
    tlb_gather_mmu(m, tlb, mm);
    free_pgd_range(m, tlb, MAP, MAP + PAGE, 0, 0);
    tlb_finish_mmu(m, tlb);
    t.equal(pmdt.entry[1], 0);
  });
  t.match(m.log.lines.join('\n'), /bad pmd/);
});
