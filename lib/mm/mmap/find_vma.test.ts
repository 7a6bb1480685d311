// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { map_anon } from '../testing.ts';
import { find_vma, find_vma_intersection, find_vma_prev, vm_stat_account } from './find_vma.ts';

const [PAGE, MAP] = [4096, 0x200000000];
const [VM_READ, VM_WRITE, VM_EXEC, VM_SHARED, VM_GROWSDOWN] = [1, 2, 4, 8, 0x100];

t.test('the vma that ends above an address, the one before it, and one within a range', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, 2);
    yield* map_anon(m, MAP + 4 * PAGE, 1);
    const start_of = (addr: number): number | undefined => find_vma(mm, addr)?.vm_start;
    t.same(
      [MAP - 1, MAP, MAP + 2 * PAGE - 1, MAP + 2 * PAGE].map(start_of),
      [MAP, MAP, MAP, MAP + 4 * PAGE],
      'an end is exclusive',
    );
    t.equal(find_vma(mm, 2 ** 47), null);
    const { vma, prev } = find_vma_prev(mm, MAP + 3 * PAGE);
    t.same([vma?.vm_start, prev?.vm_start], [MAP + 4 * PAGE, MAP]);
    t.equal(find_vma_intersection(mm, MAP + 2 * PAGE, MAP + 4 * PAGE), null);
    t.equal(find_vma_intersection(mm, MAP + 2 * PAGE, MAP + 4 * PAGE + 1)?.vm_start, MAP + 4 * PAGE);
  });
  t.end();
});

t.test('each mapping counts in the total and in one kind at most', (t) => {
  run_clean(t, small_machine(), function* (_m, mm) {
    const count = (flags: number): number[] => {
      const before = [mm.total_vm, mm.exec_vm, mm.stack_vm, mm.data_vm];
      vm_stat_account(mm, flags, 3);
      const after = [mm.total_vm, mm.exec_vm, mm.stack_vm, mm.data_vm];
      vm_stat_account(mm, flags, -3);
      return after.map((n, i) => n - before[i]);
    };
    t.same(count(VM_READ | VM_EXEC), [3, 3, 0, 0]);
    t.same(count(VM_READ | VM_WRITE | VM_GROWSDOWN), [3, 0, 3, 0]);
    t.same(count(VM_READ | VM_WRITE), [3, 0, 0, 3]);
    t.same(count(VM_READ | VM_WRITE | VM_SHARED), [3, 0, 0, 0]);
    t.same(count(VM_READ), [3, 0, 0, 0]);
  });
  t.end();
});
