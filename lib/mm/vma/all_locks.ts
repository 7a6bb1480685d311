// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { EINTR } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { mutex, mutex_lock, mutex_unlock } from '../../kernel/locking/mutex.ts';
import { down_write, type rw_semaphore, up_write } from '../../kernel/locking/rwsem.ts';
import { signal_pending } from '../../kernel/sched/core.ts';
import { is_vm_hugetlb_page, type mm_struct } from '../mm_types.ts';
import { vma_start_write } from '../mmap_lock.ts';

/** Serialises mm_take_all_locks(), which would deadlock against itself (mm/vma.c: mm_all_locks_mutex). */
const mm_all_locks_mutex = new WeakMap<Machine, mutex>();
/**
 * Returns the i_mmap and anon_vma locks of the mm, each once, in locking order: hugetlb files, other files, anon_vmas
 * (mm/vma.c: vm_lock_mapping(), mm/vma.c: vm_lock_anon_vma()).
 */
function mm_locks(mm: mm_struct): Set<rw_semaphore> {
  const sems = new Set<rw_semaphore>();
  for (const hugetlb of [true, false]) {
    for (const vma of mm.mm_mt) {
      const mapping = vma.vm_file?.f_mapping;
      if (mapping && is_vm_hugetlb_page(vma) === hugetlb) sems.add(mapping.i_mmap_rwsem);
    }
  }
  for (const vma of mm.mm_mt) for (const avc of vma.anon_vma_chain) sems.add(avc.anon_vma.root.rwsem);
  return sems;
}

/**
 * Excludes every change of the mm's vmas and page tables until mm_drop_all_locks(). Returns 0, or -EINTR if a signal is
 * pending (mm/vma.c: mm_take_all_locks()).
 */
export function* mm_take_all_locks(m: Machine, mm: mm_struct, sems: rw_semaphore[]): Gen<number> {
  let all = mm_all_locks_mutex.get(m);
  if (all === undefined) mm_all_locks_mutex.set(m, (all = new mutex('mm_all_locks_mutex')));
  yield* mutex_lock(m, all);
  for (const vma of mm.mm_mt) {
    if (signal_pending(m.current)) {
      mutex_unlock(m, all);
      return -EINTR;
    }
    yield* vma_start_write(m, vma);
  }
  for (const sem of mm_locks(mm)) {
    if (signal_pending(m.current)) {
      mm_drop_all_locks(m, sems);
      return -EINTR;
    }
    yield* down_write(m, sem);
    sems.push(sem);
  }
  return 0;
}

/** Undoes mm_take_all_locks() (mm/vma.c: mm_drop_all_locks()). */
export function mm_drop_all_locks(m: Machine, sems: rw_semaphore[]): void {
  for (const sem of sems) up_write(m, sem);
  mutex_unlock(m, mm_all_locks_mutex.get(m) as mutex);
}
