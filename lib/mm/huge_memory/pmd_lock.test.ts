// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mm_find_pmd } from '../rmap/rmap.ts';
import { map_anon, run_thp, vma_of } from '../testing.ts';
import { maybe_pmd_mkwrite, pmd_trans_huge_lock, vma_adjust_trans_huge } from './pmd_lock.ts';

const [PAGE, HUGE] = [4096, 2 * 1024 * 1024];
const MAP = 0x200000000;
const [WRITABLE, DIRTY] = [2, 16];
const [VM_READ, VM_WRITE] = [1, 2];

const level_at = (mm: mm_struct, addr: number): string => walk_address(mm, addr).level;
const pmd_index = (addr: number): number => Math.floor(addr / HUGE) % 512;

/** Two huge pages at MAP. */
function with_two(body: (m: Machine, mm: mm_struct, vma: vm_area_struct) => Gen<void>): void {
  run_thp(t, MAP, 2 * HUGE, function* (m, mm) {
    for (const at of [MAP, MAP + HUGE]) yield* user_store32(m, at, 1);
    t.same([level_at(mm, MAP), level_at(mm, MAP + HUGE)], ['pmd', 'pmd']);
    yield* body(m, mm, vma_of(mm, MAP));
  });
}

t.test('an entry becomes writable where the vma is', (t) => {
  const vma = { vm_flags: VM_READ } as vm_area_struct;
  t.equal(maybe_pmd_mkwrite(DIRTY, vma) & WRITABLE, 0);
  vma.vm_flags |= VM_WRITE;
  t.equal(maybe_pmd_mkwrite(DIRTY, vma) & (WRITABLE | DIRTY), WRITABLE | DIRTY);
  t.end();
});

t.test('the lock is kept for a huge pmd, and for no other', (t) => {
  with_two(function* (m, mm, vma) {
    const pmdt = mm_find_pmd(m, mm, MAP);
    if (pmdt === null) throw new Error('no pmd table');
    t.ok(yield* pmd_trans_huge_lock(m, pmdt, pmd_index(MAP), vma));
    t.equal(pmdt.ptl.owner, m.current);
    spin_unlock(m, pmdt.ptl);
    t.equal(yield* map_anon(m, MAP + 2 * HUGE, 1), MAP + 2 * HUGE);
    yield* user_store32(m, MAP + 2 * HUGE, 1);
    for (const addr of [MAP + 2 * HUGE, MAP + 3 * HUGE]) {
      t.notOk(yield* pmd_trans_huge_lock(m, pmdt, pmd_index(addr), vma), 'a table, and nothing');
      t.equal(pmdt.ptl.owner, null);
    }
  });
  t.end();
});

t.test('only the pmds that a boundary cuts through are split', (t) => {
  with_two(function* (m, mm, vma) {
    yield* vma_adjust_trans_huge(m, vma, MAP, MAP + HUGE, null);
    t.same([level_at(mm, MAP), level_at(mm, MAP + HUGE)], ['pmd', 'pmd'], 'aligned ones cut nothing');
    yield* vma_adjust_trans_huge(m, vma, MAP, MAP + HUGE + PAGE, null);
    t.same([level_at(mm, MAP), level_at(mm, MAP + HUGE)], ['pmd', 'pte']);
    yield* vma_adjust_trans_huge(m, vma, MAP + PAGE, MAP + 2 * HUGE, null);
    t.equal(level_at(mm, MAP), 'pte');
  });
  t.end();
});

t.test('a neighbour that starts in the middle of a huge page is split too', (t) => {
  with_two(function* (m, mm, vma) {
    yield* vma_adjust_trans_huge(m, vma, MAP, MAP + HUGE - PAGE, vma);
    t.equal(level_at(mm, MAP), 'pte');
    t.equal(level_at(mm, MAP + HUGE), 'pmd');
  });
  t.end();
});
