// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { rw_semaphore } from '../../kernel/locking/rwsem.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { mmap_write_lock, mmap_write_unlock } from '../mmap_lock.ts';
import { map_anon, vma_of } from '../testing.ts';
import { mm_drop_all_locks, mm_take_all_locks } from './all_locks.ts';

const [PAGE, MAP] = [4096, 0x200000000];

t.test('the lock of each anon_vma root is taken once, however many vmas it has', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, 1);
    yield* map_anon(m, MAP + 2 * PAGE, 1);
    yield* user_store32(m, MAP, 1);
    yield* user_store32(m, MAP + 2 * PAGE, 1);
    const roots = [MAP, MAP + 2 * PAGE].map((at) => vma_of(mm, at).anon_vma?.root.rwsem as rw_semaphore);
    const sems: rw_semaphore[] = [];
    yield* mmap_write_lock(m, mm);
    t.equal(yield* mm_take_all_locks(m, mm, sems), 0);
    t.equal(new Set(sems).size, sems.length);
    for (const root of roots) t.ok(sems.includes(root) && root.owner === m.current);
    mm_drop_all_locks(m, sems);
    for (const root of roots) t.equal(root.owner, null);
    mmap_write_unlock(m, mm);
  });
  t.end();
});
