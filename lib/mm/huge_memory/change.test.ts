// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { type ptdesc, pte_dirty, pte_pfn, pte_uffd, pte_write } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import { swp_type } from '../leafops.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmu_gather, tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { folio_get } from '../page.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { run_thp } from '../testing.ts';
import { can_change_pmd_writable, change_huge_pmd } from './change.ts';

const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [R, RW] = [1, 3];
const NR_mprotect = 10;
const [UFFD_WP, UFFD_WP_RESOLVE] = [4, 8];
const [MIGRATION_READ_EXCLUSIVE, MIGRATION_WRITE] = [0x1a, 0x1b];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_thp(t, MAP, 2 * HUGE, body);
}

function protect(m: Machine, addr: number, len: number, prot: number): Gen<number> {
  return do_syscall_64(m, NR_mprotect, addr, len, prot);
}

const pmd = (mm: mm_struct): number => {
  const leaf = walk_address(mm, MAP);
  return leaf.level === 'pmd' ? leaf.entry : 0;
};

t.test('taking the right to write away keeps the pmd huge and dirty; giving it back needs no fault', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    const before = pmd(mm);
    t.equal(yield* protect(m, MAP, 2 * HUGE, R), 0);
    t.same([pte_write(pmd(mm)), pte_dirty(pmd(mm)), pte_pfn(pmd(mm))], [false, true, pte_pfn(before)]);
    t.equal(yield* user_load32(m, MAP), 1);
    t.equal(yield* protect(m, MAP, 2 * HUGE, RW), 0);
    t.ok(pte_write(pmd(mm)), 'the page is exclusive');
    t.equal(pmd(mm), before);
  });
});

t.test('a folio shared with a child, and the huge zero folio, become writable by a fault only', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    let done = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      while (!done) yield* sched_yield(m);
    });
    yield* protect(m, MAP, 2 * HUGE, R);
    yield* protect(m, MAP, 2 * HUGE, RW);
    t.ok(pmd(mm));
    t.notOk(pte_write(pmd(mm)));
    done = true;
    yield* kernel_wait4(m, pid, 0);
    yield* user_load32(m, MAP + HUGE);
    yield* protect(m, MAP + HUGE, HUGE, R);
    yield* protect(m, MAP + HUGE, HUGE, RW);
    t.equal(walk_address(mm, MAP + HUGE).level, 'pmd');
    t.notOk(pte_write(walk_address(mm, MAP + HUGE).entry));
    yield* user_store32(m, MAP, 2);
    const vma = vma_at(mm, MAP) as vm_area_struct;
    t.ok(can_change_pmd_writable(m, vma, MAP, pmd(mm)));
    vma.vm_flags &= ~2;
    t.notOk(can_change_pmd_writable(m, vma, MAP, pmd(mm)));
    vma.vm_flags |= 2;
    t.same(
      m.log.warnings.splice(0).map((w) => w.fn),
      ['can_change_pmd_writable'],
      'nobody should ask for such a vma',
    );
  });
});

t.test('a part of 2 MiB is changed by ptes', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    yield* protect(m, MAP + 4096, 4096, R);
    t.same(
      [0, 1, 2].map((i) => pte_write(walk_address(mm, MAP + i * 4096).entry)),
      [true, false, true],
    );
    t.equal(walk_address(mm, MAP).level, 'pte');
  });
});

t.test('a writable migration entry becomes a readable one that remembers the page was exclusive', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 3);
    const folio = m.page.pfn_to_page(pte_pfn(pmd(mm)));
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* try_to_migrate(m, folio, 0);
    t.equal(swp_type(pmd(mm)), MIGRATION_WRITE);
    t.equal(yield* protect(m, MAP, 2 * HUGE, R), 0);
    t.equal(swp_type(pmd(mm)), MIGRATION_READ_EXCLUSIVE);
    yield* protect(m, MAP, 2 * HUGE, RW);
    t.equal(swp_type(pmd(mm)), MIGRATION_READ_EXCLUSIVE);
    yield* remove_migration_ptes(m, folio, folio, 0);
    folio_unlock(m, folio);
    folio_put(m, folio);
    t.notOk(pte_write(pmd(mm)));
    yield* user_store32(m, MAP, 4);
    t.equal(pte_pfn(pmd(mm)), m.page.page_to_pfn(folio), 'the write takes it over without a copy');
  });
});

t.test('userfaultfd protection sets and clears its bit; a pmd that is not huge is left to others', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    const vma = vma_at(mm, MAP) as vm_area_struct;
    const leaf = walk_address(mm, MAP);
    const change = function* (flags: number, prot = vma.vm_page_prot): Gen<number> {
      const tlb = new mmu_gather();
      tlb_gather_mmu(m, tlb, mm);
      const ret = yield* change_huge_pmd(m, tlb, vma, leaf.table as ptdesc, MAP, prot, flags);
      tlb_finish_mmu(m, tlb);
      return ret;
    };
    t.equal(yield* change(UFFD_WP), 512);
    t.same([pte_uffd(pmd(mm)), pte_write(pmd(mm))], [true, false]);
    t.equal(yield* change(UFFD_WP_RESOLVE), 512);
    t.notOk(pte_uffd(pmd(mm)));
    yield* protect(m, MAP + 4096, 4096, R);
    t.equal(yield* change(0), 0);
  });
});
